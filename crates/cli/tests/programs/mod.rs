//! The programs of these tests: where they are, how they are run and asked.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The witness beside `zeuge`, or a word that it is not built.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn zeuged() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_zeuge")).with_file_name("zeuged");
    if path.is_file() {
        return Some(path);
    }
    println!(
        "skipped: {} is not built (cargo build -p zeuge-server)",
        path.display()
    );
    None
}

/// Runs a program in this folder, with contexts and caches of its own.
pub(crate) fn run(program: &Path, folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

/// Serves the folder's `data` on a free port, without the makers; its address.
pub(crate) fn serve(zeuged: &Path, at: &Path, more: &[&str]) -> (Child, String) {
    let mut process = Command::new(zeuged)
        .args(["serve", "--data", "data", "--listen", "127.0.0.1:0"])
        .arg("--offline")
        .args(more)
        .current_dir(at)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = process.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap();
    (process, url.to_owned())
}

/// The body of a good answer to somebody with this token.
pub(crate) fn send(
    (url, token): (&str, Option<&str>),
    method: &str,
    at: &str,
    body: &[u8],
) -> Vec<u8> {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let token = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    let head = format!(
        "{method} {at} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{token}\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let said = String::from_utf8_lossy(&answer).into_owned();
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    answer.split_off(end + 4)
}
