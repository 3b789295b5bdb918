//! Which functions must stay `const`, and which constants are numbers.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenTree;
use quote::ToTokens;
use syn::visit::{self, Visit};

/// What is known about the constants of all crates, by name alone: two things of one name are
/// treated as one, and then less is changed.
#[derive(Debug, Default)]
pub struct Constants {
    /// Names that stand in constant expressions.
    used: BTreeSet<String>,
    /// What the bodies of constant functions name.
    bodies: BTreeMap<String, BTreeSet<String>>,
    /// Constants whose type is a whole number.
    pub numbers: BTreeSet<String>,
}

/// Types that are whole numbers.
pub const NUMBERS: [&str; 12] = [
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
];

fn names(tokens: impl ToTokens, into: &mut BTreeSet<String>) {
    for token in tokens.to_token_stream() {
        match token {
            TokenTree::Ident(name) => {
                into.insert(name.to_string());
            }
            TokenTree::Group(group) => names(group.stream(), into),
            _ => {}
        }
    }
}

impl Constants {
    /// Looks at one file.
    pub fn see(&mut self, file: &syn::File) {
        self.visit_file(file);
    }

    /// Follows what constant expressions call, to the end.
    pub fn close(&mut self) {
        loop {
            let more: Vec<String> = self
                .bodies
                .iter()
                .filter(|(name, _)| self.used.contains(*name))
                .flat_map(|(_, body)| body.iter())
                .filter(|name| !self.used.contains(*name))
                .cloned()
                .collect();
            if more.is_empty() {
                return;
            }
            self.used.extend(more);
        }
    }

    /// Whether a constant expression may call a function of this name.
    pub fn needs(&self, function: &str) -> bool {
        self.used.contains(function)
    }

    fn constant(&mut self, name: &syn::Ident, kind: &syn::Type, value: impl ToTokens) {
        let kind = kind.to_token_stream().to_string();
        if NUMBERS.contains(&kind.as_str()) {
            self.numbers.insert(name.to_string());
        }
        names(value, &mut self.used);
    }

    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        if signature.constness.is_some() {
            let into = self.bodies.entry(signature.ident.to_string()).or_default();
            names(body, into);
        }
    }
}

impl<'a> Visit<'a> for Constants {
    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.constant(&item.ident, &item.ty, &item.expr);
    }

    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        self.constant(&item.ident, &item.ty, &item.expr);
    }

    fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
        names(&item.expr, &mut self.used);
    }

    fn visit_type_array(&mut self, kind: &'a syn::TypeArray) {
        names(&kind.len, &mut self.used);
        visit::visit_type_array(self, kind);
    }

    fn visit_expr_repeat(&mut self, repeat: &'a syn::ExprRepeat) {
        names(&repeat.len, &mut self.used);
        visit::visit_expr_repeat(self, repeat);
    }

    fn visit_expr_const(&mut self, block: &'a syn::ExprConst) {
        names(&block.block, &mut self.used);
    }

    fn visit_generic_argument(&mut self, argument: &'a syn::GenericArgument) {
        if let syn::GenericArgument::Const(value) = argument {
            names(value, &mut self.used);
        }
        visit::visit_generic_argument(self, argument);
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        // Constants in macros, and `thread_local!`: all that they name may be needed.
        if call.path.is_ident("thread_local") {
            names(&call.tokens, &mut self.used);
        }
    }
}
