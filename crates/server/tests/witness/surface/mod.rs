//! The surface of the real `zeuged`: hostile clients, TLS, who may call what, what it answers, what
//! it says of itself, and what it never says.

mod alerts;
mod described;
mod hostile;
mod leaks;
mod matrix;
mod served;
mod tls;
mod tricks;
