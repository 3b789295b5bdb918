//! One source file with every mutant in it, each behind a switch.
//!
//! Changes expressions, conditions, arms, statements and whole functions; never constants, patterns,
//! types, macros, tests, or what only prints.

use std::collections::BTreeSet;

use quote::ToTokens;
use syn::{
    BinOp, Expr, Lit, ReturnType, Stmt, UnOp,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{
    constants::{Constants, NUMBERS},
    edits::{Changed, Edits},
};

/// One change of one place.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// Its number in this build.
    pub id: u32,
    /// Path of the file in the repository.
    pub file: String,
    /// Line of the place.
    pub line: usize,
    /// The function around it.
    pub function: String,
    /// The place and what becomes of it.
    pub what: String,
}

/// Rewrites one file.
#[derive(Debug)]
pub struct Rewriter<'a> {
    path: &'a str,
    source: &'a str,
    constants: &'a Constants,
    /// Mutants that do not compile.
    refused: &'a BTreeSet<u32>,
    next: &'a mut u32,
    mutants: Vec<Mutant>,
    edits: Edits,
    names: Vec<String>,
    /// Whether the next expression's truth has its mutants already.
    settled: bool,
}

const METHODS: [&str; 6] = ["any", "all", "find", "filter", "is_some_and", "is_none_or"];
const NUMERIC: [(&str, &str); 6] = [
    ("saturating_add", "saturating_sub"),
    ("saturating_sub", "saturating_add"),
    ("checked_add", "checked_sub"),
    ("checked_sub", "checked_add"),
    ("min", "max"),
    ("max", "min"),
];
const TRUTHS: [&str; 9] = [
    "contains",
    "contains_key",
    "ends_with",
    "is_empty",
    "is_err",
    "is_none",
    "is_ok",
    "is_some",
    "starts_with",
];

impl<'a> Rewriter<'a> {
    /// The changed file and its mutants, numbered from `next`.
    ///
    /// # Errors
    /// When the file is no Rust.
    pub fn rewrite(
        path: &'a str,
        source: &'a str,
        constants: &'a Constants,
        refused: &'a BTreeSet<u32>,
        next: &'a mut u32,
    ) -> Result<(Changed, Vec<Mutant>), String> {
        let file = syn::parse_file(source).map_err(|error| format!("{path}: {error}"))?;
        let mut rewriter = Self {
            path,
            source,
            constants,
            refused,
            next,
            mutants: Vec::new(),
            edits: Edits::default(),
            names: Vec::new(),
            settled: false,
        };
        rewriter.import(&file.items);
        rewriter.visit_file(&file);
        Ok((rewriter.edits.apply(source), rewriter.mutants))
    }

    /// Brings the replaced methods into scope.
    fn import(&mut self, items: &[syn::Item]) {
        if let Some(first) = items.first() {
            let at = first.span().byte_range().start;
            self.edits.at(
                at,
                "#[allow(unused_imports)] use ::zeuge_switch::methods::*; ".to_owned(),
                &[],
            );
        }
    }

    fn text(&self, node: &impl Spanned) -> String {
        let text = &self.source[node.span().byte_range()];
        let short: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match short.char_indices().nth(90) {
            Some((at, _)) => format!("{}…", &short[..at]),
            None => short,
        }
    }

    /// A new mutant: its number, or 0 where it does not compile.
    fn mutant(&mut self, node: &impl Spanned, what: String) -> u32 {
        let id = *self.next;
        *self.next += 1;
        if self.refused.contains(&id) {
            return 0;
        }
        self.mutants.push(Mutant {
            id,
            file: self.path.to_owned(),
            line: node.span().start().line,
            function: self.names.join("::"),
            what,
        });
        id
    }

    /// A condition that always or never holds.
    fn condition(&mut self, node: &Expr) {
        let text = self.text(node);
        let always = self.mutant(node, format!("`{text}` always holds"));
        let never = self.mutant(node, format!("`{text}` never holds"));
        if always + never > 0 {
            self.edits.around(
                &node.span().byte_range(),
                format!("::zeuge_switch::cond({always}, {never}, "),
                ")".to_owned(),
                &[always, never],
            );
        }
        self.settled = true;
    }

    /// A condition with a pattern in it: never holds.
    fn pattern(&mut self, node: &Expr) {
        let text = self.text(node);
        let never = self.mutant(node, format!("`{text}` never holds"));
        if never > 0 {
            let end = node.span().byte_range().end;
            self.edits.around(
                &(end..end),
                String::new(),
                format!(" && !::zeuge_switch::m({never})"),
                &[never],
            );
        }
    }

    fn truth(&mut self, node: &Expr) {
        if has_let(node) {
            self.pattern(node);
        } else {
            self.condition(node);
        }
    }

    /// Either of these values in place of an expression of two operands.
    fn operator(&mut self, binary: &syn::ExprBinary, others: &[&str], borrow: &str) {
        let text = self.text(binary);
        let mut body = String::new();
        let mut ids = Vec::new();
        for other in others {
            let id = self.mutant(binary, format!("`{text}` with `{other}`"));
            if id > 0 {
                body.push_str(&format!(
                    "if ::zeuge_switch::m({id}) {{ zl {other} zr }} else "
                ));
                ids.push(id);
            }
        }
        if ids.is_empty() {
            return;
        }
        let operator = &self.source[binary.op.span().byte_range()];
        self.edits.around(
            &binary.span().byte_range(),
            format!("(match ({borrow}("),
            format!(")) {{ (zl, zr) => {body}{{ zl {operator} zr }} }})"),
            &ids,
        );
        let between = format!("), {borrow}(");
        self.edits
            .replace(binary.op.span().byte_range(), between, &ids);
    }

    /// One operand of `&&` or `||` that decides nothing any more.
    fn operand(&mut self, operand: &Expr, and: bool) {
        if let Expr::Binary(inner) = operand
            && matches!(
                (&inner.op, and),
                (BinOp::And(_), true) | (BinOp::Or(_), false)
            )
        {
            return;
        }
        if matches!(operand, Expr::Let(_)) {
            return;
        }
        let word = if and { "holds" } else { "does not hold" };
        let id = self.mutant(operand, format!("`{}` always {word}", self.text(operand)));
        if id > 0 {
            let after = match and {
                true => format!(") || ::zeuge_switch::m({id}))"),
                false => format!(") && !::zeuge_switch::m({id}))"),
            };
            self.edits
                .around(&operand.span().byte_range(), "((".to_owned(), after, &[id]);
        }
    }

    fn negated(&mut self, node: &Expr) {
        let id = self.mutant(node, format!("`{}` negated", self.text(node)));
        if id > 0 {
            self.edits.around(
                &node.span().byte_range(),
                "((".to_owned(),
                format!(") ^ ::zeuge_switch::m({id}))"),
                &[id],
            );
        }
    }

    fn binary(&mut self, binary: &syn::ExprBinary, settled: bool) {
        match &binary.op {
            BinOp::And(_) | BinOp::Or(_) => {
                let and = matches!(binary.op, BinOp::And(_));
                self.operand(&binary.left, and);
                self.settled = true;
                self.visit_expr(&binary.left);
                self.operand(&binary.right, and);
                self.settled = true;
                self.visit_expr(&binary.right);
                return;
            }
            BinOp::Eq(_) if !settled => self.operator(binary, &["!="], "&"),
            BinOp::Ne(_) if !settled => self.operator(binary, &["=="], "&"),
            BinOp::Lt(_) if settled => self.operator(binary, &["<="], "&"),
            BinOp::Le(_) if settled => self.operator(binary, &["<"], "&"),
            BinOp::Gt(_) if settled => self.operator(binary, &[">="], "&"),
            BinOp::Ge(_) if settled => self.operator(binary, &[">"], "&"),
            BinOp::Lt(_) => self.operator(binary, &["<=", ">="], "&"),
            BinOp::Le(_) => self.operator(binary, &["<", ">"], "&"),
            BinOp::Gt(_) => self.operator(binary, &[">=", "<="], "&"),
            BinOp::Ge(_) => self.operator(binary, &[">", "<"], "&"),
            BinOp::Add(_) => self.operator(binary, &["-"], ""),
            BinOp::Sub(_) => self.operator(binary, &["+"], ""),
            BinOp::BitAnd(_) => self.operator(binary, &["|"], ""),
            BinOp::BitOr(_) => self.operator(binary, &["&"], ""),
            BinOp::BitXor(_) => self.operator(binary, &["|"], ""),
            BinOp::Shl(_) => self.operator(binary, &[">>"], ""),
            BinOp::Shr(_) => self.operator(binary, &["<<"], ""),
            _ => {}
        }
        self.visit_expr(&binary.left);
        self.visit_expr(&binary.right);
    }

    fn literal(&mut self, node: &syn::ExprLit) {
        match &node.lit {
            Lit::Int(number) => {
                let text = self.text(node);
                let Ok(value) = number.base10_parse::<u128>() else {
                    return;
                };
                let suffix = number.suffix();
                let more = self.mutant(node, format!("`{text}` + 1"));
                let less = match value {
                    0 => 0,
                    _ => self.mutant(node, format!("`{text}` - 1")),
                };
                let mut before = "(".to_owned();
                if more > 0 {
                    let value = value.saturating_add(1);
                    before.push_str(&format!(
                        "if ::zeuge_switch::m({more}) {{ {value}{suffix} }} else "
                    ));
                }
                if less > 0 {
                    let value = value.saturating_sub(1);
                    before.push_str(&format!(
                        "if ::zeuge_switch::m({less}) {{ {value}{suffix} }} else "
                    ));
                }
                if more + less > 0 {
                    before.push('{');
                    let range = node.span().byte_range();
                    self.edits
                        .around(&range, before, "})".to_owned(), &[more, less]);
                }
            }
            Lit::Bool(_) => {
                let id = self.mutant(node, format!("`{}` negated", self.text(node)));
                if id > 0 {
                    self.edits.around(
                        &node.span().byte_range(),
                        "(".to_owned(),
                        format!(" ^ ::zeuge_switch::m({id}))"),
                        &[id],
                    );
                }
            }
            _ => {}
        }
    }

    fn constant(&mut self, node: &syn::ExprPath) {
        let Some(last) = node.path.segments.last() else {
            return;
        };
        let first = node
            .path
            .segments
            .first()
            .map(|first| first.ident.to_string());
        // The limits of types are no decision of ours.
        let foreign = first.is_some_and(|first| NUMBERS.contains(&first.as_str()));
        if foreign || !self.constants.numbers.contains(&last.ident.to_string()) {
            return;
        }
        let text = self.text(node);
        let more = self.mutant(node, format!("`{text}` + 1"));
        let less = self.mutant(node, format!("`{text}` - 1"));
        if more + less > 0 {
            self.edits.around(
                &node.span().byte_range(),
                format!("::zeuge_switch::near({more}, {less}, "),
                ")".to_owned(),
                &[more, less],
            );
        }
    }

    fn method(&mut self, call: &syn::ExprMethodCall) {
        let name = call.method.to_string();
        if call.args.len() != 1 || call.turbofish.is_some() {
            return;
        }
        let other = NUMERIC.iter().find(|(old, _)| *old == name);
        let what = match other {
            Some((_, other)) => format!("`{}` with `{other}`", self.text(call)),
            None if METHODS.contains(&name.as_str()) => match name.as_str() {
                "any" => format!("`{}` with `all`", self.text(call)),
                "all" => format!("`{}` with `any`", self.text(call)),
                _ => format!("`{}` without its predicate", self.text(call)),
            },
            None => return,
        };
        let id = self.mutant(call, what);
        if id > 0 {
            let begin = call.method.span().byte_range();
            let ids = [id];
            self.edits.replace(begin, format!("zm_{name}"), &ids);
            let open = call.paren_token.span.open().byte_range().end;
            self.edits.at(open, format!("{id}, "), &ids);
        }
    }

    /// A statement that is not carried out.
    fn statement(&mut self, statement: &Stmt, expression: &Expr) {
        let deletes = matches!(
            expression,
            Expr::MethodCall(_) | Expr::Call(_) | Expr::Try(_) | Expr::Assign(_)
        ) || matches!(expression, Expr::Binary(binary) if is_assignment(&binary.op));
        if !deletes {
            return;
        }
        let id = self.mutant(statement, format!("`{}` is left out", self.text(statement)));
        if id > 0 {
            self.edits.around(
                &statement.span().byte_range(),
                format!("if !::zeuge_switch::m({id}) {{ "),
                " }".to_owned(),
                &[id],
            );
        }
    }

    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let mut text = String::new();
        let mut ids = Vec::new();
        for value in values(&signature.output) {
            let shown = if value.is_empty() { "nothing" } else { value };
            let id = self.mutant(
                &signature.ident,
                format!("does and returns {shown} at once"),
            );
            if id > 0 {
                text.push_str(&format!(
                    " if ::zeuge_switch::m({id}) {{ return {value}; }}"
                ));
                ids.push(id);
            }
        }
        let open = body.brace_token.span.open().byte_range().end;
        if !ids.is_empty() && !body.stmts.is_empty() {
            self.edits.at(open, text, &ids);
        }
    }

    fn enter(
        &mut self,
        signature: &syn::Signature,
        body: &syn::Block,
        attributes: &[syn::Attribute],
    ) {
        if is_test(attributes) {
            return;
        }
        let name = signature.ident.to_string();
        if let Some(word) = &signature.constness {
            if self.constants.needs(&name) {
                return;
            }
            let range = word.span().byte_range();
            let blank = " ".repeat(range.len());
            self.edits.replace(range, blank, &[]);
        }
        self.names.push(name);
        self.function(signature, body);
        self.visit_block(body);
        self.names.pop();
    }

    fn arms(&mut self, matching: &syn::ExprMatch) {
        let catches = matching.arms.last().is_some_and(|last| {
            last.guard.is_none()
                && match &last.pat {
                    syn::Pat::Wild(_) => true,
                    syn::Pat::Ident(name) => {
                        name.subpat.is_none()
                            && name.ident.to_string().starts_with(char::is_lowercase)
                    }
                    _ => false,
                }
        });
        let last = matching.arms.len().saturating_sub(1);
        for (index, arm) in matching.arms.iter().enumerate() {
            if is_test(&arm.attrs) {
                continue;
            }
            match &arm.guard {
                Some((_, guard)) => {
                    self.truth(guard);
                    self.visit_expr(guard);
                    self.settled = false;
                }
                None if catches && index < last => {
                    let what = format!("the arm `{}` is never taken", self.text(&arm.pat));
                    let id = self.mutant(&arm.pat, what);
                    if id > 0 {
                        let range = arm.pat.span().byte_range();
                        let after = format!(" if !::zeuge_switch::m({id})");
                        self.edits.around(&range, String::new(), after, &[id]);
                    }
                }
                None => {}
            }
            self.visit_expr(&arm.body);
        }
    }
}

/// What a function of this type may return without looking at anything.
fn values(output: &ReturnType) -> Vec<&'static str> {
    let ReturnType::Type(_, kind) = output else {
        return vec![""];
    };
    let kind = kind.to_token_stream().to_string();
    let inside = |name: &str| {
        let rest = kind.strip_prefix(name)?.trim_start();
        rest.strip_prefix('<').map(str::trim_start)
    };
    if kind == "bool" {
        vec!["true", "false"]
    } else if NUMBERS.contains(&kind.as_str()) {
        vec!["0", "1"]
    } else if inside("Option").is_some() {
        vec!["None"]
    } else if inside("Vec").is_some() {
        vec!["Vec::new()"]
    } else if let Some(inner) = inside("Result") {
        let begins = |word: &str| inner.starts_with(word);
        if begins("()") || begins("( )") {
            vec!["Ok(())"]
        } else if begins("bool") {
            vec!["Ok(true)", "Ok(false)"]
        } else if begins("Option") {
            vec!["Ok(None)"]
        } else if begins("Vec") {
            vec!["Ok(Vec::new())"]
        } else {
            vec![]
        }
    } else {
        vec![]
    }
}

fn is_assignment(operator: &BinOp) -> bool {
    use BinOp::{
        AddAssign, BitAndAssign, BitOrAssign, BitXorAssign, DivAssign, MulAssign, RemAssign,
        ShlAssign, ShrAssign, SubAssign,
    };
    matches!(
        operator,
        AddAssign(_)
            | SubAssign(_)
            | MulAssign(_)
            | DivAssign(_)
            | RemAssign(_)
            | BitXorAssign(_)
            | BitAndAssign(_)
            | BitOrAssign(_)
            | ShlAssign(_)
            | ShrAssign(_)
    )
}

fn has_let(node: &Expr) -> bool {
    match node {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// `#[test]`, `#[cfg(test)]` and the loop over checks.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.meta.to_token_stream().to_string();
        text == "test"
            || text.starts_with("cfg") && (text.contains("test") || text.contains("zeuge_mutants"))
    })
}

fn is_truth(node: &Expr) -> bool {
    match node {
        Expr::MethodCall(call) => TRUTHS.contains(&call.method.to_string().as_str()),
        Expr::Macro(call) => call.mac.path.is_ident("matches"),
        Expr::Unary(unary) => matches!(unary.op, UnOp::Not(_)),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Rewriter<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test(&item.attrs) {
            return;
        }
        if let Some((_, items)) = &item.content {
            self.import(items);
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let prints = item.trait_.as_ref().is_some_and(|(_, path, _)| {
            let name = path.segments.last().map(|last| last.ident.to_string());
            matches!(name.as_deref(), Some("Debug" | "Display"))
        });
        if prints || is_test(&item.attrs) {
            return;
        }
        let name = item.self_ty.to_token_stream().to_string();
        let name = name.split(['<', ' ']).next().unwrap_or_default().to_owned();
        self.names.push(name);
        for inner in &item.items {
            if let syn::ImplItem::Fn(function) = inner {
                self.visit_impl_item_fn(function);
            }
        }
        self.names.pop();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.enter(&item.sig, &item.block, &item.attrs);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.enter(&item.sig, &item.block, &item.attrs);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.enter(&item.sig, body, &item.attrs);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        for statement in &block.stmts {
            if let Stmt::Expr(expression, Some(_)) = statement {
                self.statement(statement, expression);
            }
            self.settled = false;
            self.visit_stmt(statement);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        match statement {
            Stmt::Expr(expression, _) if !is_test(attributes(expression)) => {
                self.visit_expr(expression);
            }
            Stmt::Local(local) if !is_test(&local.attrs) => {
                if let Some(init) = &local.init {
                    self.visit_expr(&init.expr);
                    if let Some((_, other)) = &init.diverge {
                        self.visit_expr(other);
                    }
                }
            }
            Stmt::Item(item) => self.visit_item(item),
            _ => {}
        }
    }

    fn visit_expr(&mut self, node: &'ast Expr) {
        let settled = std::mem::take(&mut self.settled);
        match node {
            Expr::Paren(inner) => {
                self.settled = settled;
                self.visit_expr(&inner.expr);
            }
            Expr::Binary(binary) => self.binary(binary, settled),
            Expr::If(branch) => {
                self.truth(&branch.cond);
                self.visit_expr(&branch.cond);
                self.settled = false;
                self.visit_block(&branch.then_branch);
                if let Some((_, other)) = &branch.else_branch {
                    self.visit_expr(other);
                }
            }
            Expr::While(turn) => {
                self.pattern(&turn.cond);
                self.visit_expr(&turn.cond);
                self.visit_block(&turn.body);
            }
            Expr::Match(matching) => {
                self.visit_expr(&matching.expr);
                self.arms(matching);
            }
            Expr::Lit(literal) => self.literal(literal),
            Expr::Path(path) => self.constant(path),
            Expr::Unary(unary)
                if matches!((&unary.op, &*unary.expr), (UnOp::Neg(_), Expr::Lit(_))) => {}
            Expr::MethodCall(call) => {
                if matches!(call.method.to_string().as_str(), "then" | "then_some") {
                    self.truth(&call.receiver);
                } else if !settled && is_truth(node) {
                    self.negated(node);
                }
                self.method(call);
                self.visit_expr(&call.receiver);
                for argument in &call.args {
                    self.settled = false;
                    self.visit_expr(argument);
                }
            }
            Expr::Let(inner) => self.visit_expr(&inner.expr),
            Expr::Repeat(repeat) => self.visit_expr(&repeat.expr),
            Expr::Const(_) => {}
            _ => {
                if !settled && is_truth(node) {
                    self.negated(node);
                }
                visit::visit_expr(self, node);
            }
        }
        self.settled = false;
    }

    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_path(&mut self, _: &'ast syn::Path) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_item_struct(&mut self, _: &'ast syn::ItemStruct) {}
    fn visit_macro(&mut self, _: &'ast syn::Macro) {}
    fn visit_item_macro(&mut self, _: &'ast syn::ItemMacro) {}
}

fn attributes(node: &Expr) -> &[syn::Attribute] {
    match node {
        Expr::Block(block) => &block.attrs,
        Expr::If(branch) => &branch.attrs,
        Expr::Match(matching) => &matching.attrs,
        Expr::MethodCall(call) => &call.attrs,
        Expr::Call(call) => &call.attrs,
        _ => &[],
    }
}
