//! Decoders become safe on a peer's bytes. Owns the shapes that pilota-build writes them in.
//!
//! pilota's list decoder reserves what the peer announces and fills it through a raw pointer; an error half
//! way leaks all elements, and each pins its frame. Sets and maps reserve alike. All become calls of the
//! facade's `generated` functions, which pay for memory before they take it. Variants of unions are read
//! whatever their type; they get the guard that fields of structs have.

use proc_macro2::Span;
use syn::{
    Arm, Block, Expr, ExprForLoop, ExprMethodCall, ImplItem, ImplItemFn, ItemImpl, ItemMod, Lit, Pat, Stmt,
    parse_quote,
    visit_mut::{self, VisitMut},
};

use super::{
    Counts,
    encode::encode,
    items::{is_message, type_name},
};
use crate::catalog::{Catalog, Entry, Section};

pub(super) fn module(module: &mut ItemMod, catalog: &Catalog, counts: &mut Counts) {
    Messages { path: Vec::new(), catalog, counts }.visit_item_mod_mut(module);
}

/// Finds the implementations of `Message`.
struct Messages<'a> {
    path: Vec<String>,
    catalog: &'a Catalog,
    counts: &'a mut Counts,
}

impl VisitMut for Messages<'_> {
    fn visit_item_mod_mut(&mut self, module: &mut ItemMod) {
        self.path.push(module.ident.to_string());
        visit_mut::visit_item_mod_mut(self, module);
        self.path.pop();
    }

    fn visit_item_impl_mut(&mut self, item: &mut ItemImpl) {
        if !is_message(item) {
            return;
        }
        self.counts.messages += 1;
        // pilota-build's style is not ours to judge, and nobody reads this part.
        item.attrs.push(parse_quote!(#[allow(
            unused_mut,
            unused_parens,
            unused_variables,
            clippy::all,
            clippy::pedantic
        )]));
        let name = type_name(&item.self_ty).unwrap_or_default();
        let entry = self.catalog.get(&(self.path.clone(), name));
        for item in &mut item.items {
            let ImplItem::Fn(function) = item else { continue };
            match function.sig.ident.to_string().as_str() {
                "encode" => encode(function),
                "decode" => decode(function, entry, self.counts),
                "decode_async" => *function = no_async_decode(),
                _ => {}
            }
        }
    }
}

fn decode(function: &mut ImplItemFn, entry: Option<&Entry>, counts: &mut Counts) {
    // The traits that it uses are for lengths and for the buffer, both of which the pass takes away.
    function.block.stmts.retain(|statement| !matches!(statement, Stmt::Item(syn::Item::Use(_))));
    if is_enum(&function.block) {
        function.block = parse_quote!({ __protocol.read_i32().map(Self) });
        return;
    }
    let variants = entry.map_or(&[][..], |entry| &entry.variants);
    let is_result = entry.is_some_and(|entry| entry.rank.0 == Section::Wrappers);
    Decoder { variants, is_result, counts }.visit_block_mut(&mut function.block);
}

/// A payload is decoded when it is there in full, so pilota's decoder for bytes on their way is not needed.
fn no_async_decode() -> ImplItemFn {
    parse_quote! {
        async fn decode_async<T: ::pilota::thrift::TAsyncInputProtocol>(
            _: &mut T,
        ) -> ::std::result::Result<Self, ::pilota::thrift::ThriftException> {
            ::kitex::generated::no_async_decode()
        }
    }
}

/// Whether a decoder is that of an enum, which any i32 may be.
fn is_enum(block: &Block) -> bool {
    let Some(Stmt::Local(local)) = block.stmts.first() else { return false };
    let value: Pat = parse_quote!(value);
    local.pat == value
        && local.init.as_ref().is_some_and(|init| *init.expr == parse_quote!(__protocol.read_i32()?))
}

struct Decoder<'a> {
    variants: &'a [(i32, &'static str)],
    is_result: bool,
    counts: &'a mut Counts,
}

impl VisitMut for Decoder<'_> {
    fn visit_block_mut(&mut self, block: &mut Block) {
        let before = block.stmts.len();
        block.stmts.retain(|statement| !is_length(statement));
        self.counts.lengths += before - block.stmts.len();
        visit_mut::visit_block_mut(self, block);
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        visit_mut::visit_expr_mut(self, expr);
        if let Some(new) = self.rewritten(expr) {
            *expr = new;
        }
    }

    fn visit_arm_mut(&mut self, arm: &mut Arm) {
        if let (Some(id), None) = (field_id(&arm.pat), &arm.guard)
            && let Some((_, ttype)) = self.variants.iter().find(|(variant, _)| *variant == id)
        {
            let ttype = syn::Ident::new(ttype, Span::call_site());
            let guard: Expr = parse_quote!(field_ident.field_type == ::pilota::thrift::TType::#ttype);
            arm.guard = Some((parse_quote!(if), Box::new(guard)));
            self.counts.guards += 1;
        }
        visit_mut::visit_arm_mut(self, arm);
    }
}

impl Decoder<'_> {
    fn rewritten(&mut self, expr: &Expr) -> Option<Expr> {
        match expr {
            Expr::Unsafe(block) => self.container(&block.block),
            Expr::Block(block) => self.container(&block.block),
            Expr::Call(call) if is_path(&call.func, &["boxed", "Box", "new"]) => {
                self.held("read_box", &call.args[0])
            }
            Expr::Call(call) if is_path(&call.func, &["sync", "Arc", "new"]) => {
                self.held("read_arc", &call.args[0])
            }
            Expr::Call(call) if self.is_result && says_empty(call) => {
                self.counts.results += 1;
                Some(parse_quote!(::kitex::generated::missing_result()))
            }
            Expr::If(conditional) => without_empty_else(conditional),
            _ => None,
        }
    }

    /// `{ let list_ident = …begin()?; let mut val = …; for … { … } …end()?; val }`
    fn container(&mut self, block: &Block) -> Option<Expr> {
        let begin = block.stmts.first().and_then(begin_of)?;
        let new = local_value(block.stmts.get(1)?)?;
        let put = block.stmts.iter().find_map(put)?;
        let is_sorted = is_path_prefix(new, "BTree");
        let (function, arguments) = match (begin.as_str(), is_sorted) {
            ("read_list_begin", _) => ("read_list", 1),
            ("read_set_begin", false) => ("read_set", 1),
            ("read_set_begin", true) => ("read_btree_set", 1),
            ("read_map_begin", false) => ("read_map", 2),
            ("read_map_begin", true) => ("read_btree_map", 2),
            _ => return None,
        };
        let read: Vec<Expr> = put.args.iter().map(reading).collect();
        if read.len() != arguments {
            return None;
        }
        match begin.as_str() {
            "read_list_begin" => self.counts.lists += 1,
            "read_set_begin" => self.counts.sets += 1,
            _ => self.counts.maps += 1,
        }
        let function = syn::Ident::new(function, Span::call_site());
        Some(parse_quote!(::kitex::generated::#function(__protocol, #(#read),*)?))
    }

    fn held(&mut self, function: &str, value: &Expr) -> Option<Expr> {
        self.counts.boxes += 1;
        let (function, read) = (syn::Ident::new(function, Span::call_site()), reading(value));
        Some(parse_quote!(::kitex::generated::#function(__protocol, #read)?))
    }
}

/// What reads one element: a function of the protocol, whose type is `T` in every decoder.
fn reading(value: &Expr) -> Expr {
    let Expr::Try(tried) = value else {
        return parse_quote!(|__protocol| ::core::result::Result::Ok(#value));
    };
    match &*tried.expr {
        Expr::Call(call) if call.args.len() == 1 && call.args[0] == parse_quote!(__protocol) => {
            (*call.func).clone()
        }
        Expr::MethodCall(call) if call.args.is_empty() && *call.receiver == parse_quote!(__protocol) => {
            let method = &call.method;
            parse_quote!(T::#method)
        }
        inner => parse_quote!(|__protocol| #inner),
    }
}

/// `__protocol.some_len(…);`: computed for nobody.
fn is_length(statement: &Stmt) -> bool {
    let Stmt::Expr(Expr::MethodCall(call), Some(_)) = statement else { return false };
    *call.receiver == parse_quote!(__protocol) && call.method.to_string().ends_with("_len")
}

/// The method that begins a container.
fn begin_of(statement: &Stmt) -> Option<String> {
    match local_value(statement)? {
        Expr::Try(tried) => match &*tried.expr {
            Expr::MethodCall(call) => Some(call.method.to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn local_value(statement: &Stmt) -> Option<&Expr> {
    match statement {
        Stmt::Local(local) => local.init.as_ref().map(|init| &*init.expr),
        _ => None,
    }
}

/// The call that puts an element in its place: all that the loop does.
fn put(statement: &Stmt) -> Option<&ExprMethodCall> {
    let Stmt::Expr(Expr::ForLoop(ExprForLoop { body, .. }), _) = statement else { return None };
    match body.stmts.first()? {
        Stmt::Expr(Expr::MethodCall(call), _) if call.method == "write" || call.method == "insert" => {
            Some(call)
        }
        _ => None,
    }
}

fn is_path(expr: &Expr, end: &[&str]) -> bool {
    let Expr::Path(path) = expr else { return false };
    path.path
        .segments
        .iter()
        .rev()
        .map(|segment| segment.ident.to_string())
        .take(end.len())
        .eq(end.iter().rev().copied())
}

/// Whether an expression calls a function of a type whose name starts so.
fn is_path_prefix(expr: &Expr, start: &str) -> bool {
    let Expr::Call(call) = expr else { return false };
    let Expr::Path(path) = &*call.func else { return false };
    path.path.segments.iter().any(|segment| segment.ident.to_string().starts_with(start))
}

/// The id in `Some(1)`.
fn field_id(pattern: &Pat) -> Option<i32> {
    let Pat::TupleStruct(some) = pattern else { return None };
    match some.elems.first()? {
        Pat::Lit(syn::ExprLit { lit: Lit::Int(id), .. }) => id.base10_parse().ok(),
        _ => None,
    }
}

/// `Err(new_protocol_exception(…, "received empty union …"))`
fn says_empty(call: &syn::ExprCall) -> bool {
    let Some(Expr::Call(inner)) = call.args.first() else { return false };
    let text = |argument: &Expr| match argument {
        Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => {
            text.value().starts_with("received empty union")
        }
        _ => false,
    };
    inner.args.iter().any(text)
}

fn without_empty_else(conditional: &syn::ExprIf) -> Option<Expr> {
    let (_, otherwise) = conditional.else_branch.as_ref()?;
    match &**otherwise {
        Expr::Block(block) if block.block.stmts.is_empty() => {
            Some(Expr::If(syn::ExprIf { else_branch: None, ..conditional.clone() }))
        }
        _ => None,
    }
}
