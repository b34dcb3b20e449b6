//! The modules of one crate, with the names each defines or imports, and every path its code uses. Tests
//! are left out; code under any other `cfg` is read.

use std::collections::HashMap;
use std::iter::Peekable;

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Expr, ExprCall, ExprPath, ImplItem, Item, ItemMod, ItemUse, Macro, UseTree, Visibility,
};

use crate::tidy::source::names_test;
use crate::tidy::tree::{File, Spot, Tree};

/// Position of a module in [`Crate::modules`]; the root is the first.
pub(super) type Id = usize;

#[derive(Debug)]
pub(super) struct Crate<'a> {
    pub(super) modules: Vec<Module<'a>>,
    pub(super) used: Vec<Used>,
    /// What cannot be read.
    pub(super) errors: Vec<Spot>,
}

#[derive(Debug)]
pub(super) struct Module<'a> {
    pub(super) parent: Option<Id>,
    file: &'a str,
    pub(super) names: HashMap<String, Vec<Name>>,
    /// Paths of `use path::*`.
    pub(super) globs: Vec<Vec<String>>,
}

/// The meaning of a name in a module.
#[derive(Debug)]
pub(super) enum Name {
    Item,
    Module(Id),
    Import(Vec<String>),
}

/// A path in the code of a module.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) module: Id,
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

impl<'a> Crate<'a> {
    pub(super) fn read(tree: &'a Tree, root: &'a File) -> Self {
        let krate = Self { modules: Vec::new(), used: Vec::new(), errors: Vec::new() };
        let mut reader = Reader { tree, krate, module: 0, folder: String::new() };
        reader.file(root, None, folder_of(&root.path).to_owned());
        reader.krate
    }

    pub(super) fn file(&self, module: Id) -> &'a str {
        self.modules[module].file
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &'a str> {
        self.modules.iter().map(|module| module.file)
    }
}

/// Walks the syntax tree of one file after the other.
struct Reader<'a> {
    tree: &'a Tree,
    krate: Crate<'a>,
    /// Where the walk is.
    module: Id,
    /// Folder in which the files of that module's children are.
    folder: String,
}

impl<'a> Reader<'a> {
    /// Reads a file as a module of its own.
    fn file(&mut self, file: &'a File, parent: Option<Id>, folder: String) -> Id {
        let module = self.add(&file.path, parent);
        match syn::parse_file(&file.text) {
            Ok(parsed) => self.within(module, folder, |reader| reader.visit_file(&parsed)),
            Err(error) => self.krate.errors.push(Spot {
                path: file.path.clone(),
                line: error.span().start().line,
                what: format!("cannot be parsed: {error}"),
            }),
        }
        module
    }

    fn add(&mut self, file: &'a str, parent: Option<Id>) -> Id {
        let module = Module { parent, file, names: HashMap::new(), globs: Vec::new() };
        self.krate.modules.push(module);
        self.krate.modules.len() - 1
    }

    fn within(&mut self, module: Id, folder: String, walk: impl FnOnce(&mut Self)) {
        let before = (self.module, std::mem::replace(&mut self.folder, folder));
        self.module = module;
        walk(self);
        (self.module, self.folder) = before;
    }

    fn define(&mut self, name: &Ident, what: Name) {
        let names = &mut self.krate.modules[self.module].names;
        names.entry(name.to_string()).or_default().push(what);
    }

    fn uses(&mut self, path: Vec<String>, line: usize) {
        self.krate.used.push(Used { module: self.module, path, line });
    }

    /// The file of `mod name;` and the folder of its children's files.
    fn file_of(&self, item: &ItemMod) -> Option<(&'a File, String)> {
        if let Some(path) = item.attrs.iter().find_map(path_attribute) {
            let file = self.tree.file(&joined(folder_of(self.krate.file(self.module)), &path))?;
            return Some((file, folder_of(&file.path).to_owned()));
        }
        let folder = format!("{}/{}", self.folder, item.ident);
        let places = [format!("{folder}.rs"), format!("{folder}/mod.rs")];
        places.iter().find_map(|path| self.tree.file(path)).map(|file| (file, folder))
    }

    fn import(&mut self, tree: &UseTree, mut path: Vec<String>, public: bool) {
        match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.import(&step.tree, path, public);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, path.clone(), public));
            }
            UseTree::Glob(_) => self.krate.modules[self.module].globs.push(path),
            UseTree::Name(name) => self.import_as(&name.ident, &name.ident, path, public),
            UseTree::Rename(name) => self.import_as(&name.ident, &name.rename, path, public),
        }
    }

    /// A re-export is not a use: a user of it uses the re-exported item.
    fn import_as(&mut self, name: &Ident, to: &Ident, mut path: Vec<String>, public: bool) {
        let to = match (name == "self", name == to, path.last()) {
            (true, true, Some(last)) => Ident::new(last, name.span()),
            _ => to.clone(),
        };
        if name != "self" {
            path.push(name.to_string());
        }
        if !public {
            self.uses(path.clone(), name.span().start().line);
        }
        self.define(&to, Name::Import(path));
    }

    /// Paths in the arguments of a macro. A name alone counts if it may be a type's: any other may be a
    /// variable's, or a field's.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut after_dot = false;
        while let Some(token) = tokens.next() {
            match &token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let path = path_from(first, &mut tokens);
                    if path.len() > 1 || !after_dot && is_type_name(&path[0]) {
                        self.uses(path, first.span().start().line);
                    }
                }
                _ => {}
            }
            after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if attributes(item).iter().any(is_test) {
            return;
        }
        if let Some(name) = defined_name(item) {
            self.define(name, Name::Item);
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !matches!(item, ImplItem::Fn(function) if function.attrs.iter().any(is_test)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let parent = Some(self.module);
        let module = if let Some((_, items)) = &item.content {
            let module = self.add(self.krate.file(self.module), parent);
            let folder = format!("{}/{}", self.folder, item.ident);
            self.within(module, folder, |reader| items.iter().for_each(|item| reader.visit_item(item)));
            module
        } else if let Some((file, folder)) = self.file_of(item) {
            self.file(file, parent, folder)
        } else {
            self.krate.errors.push(Spot {
                path: self.krate.file(self.module).to_owned(),
                line: item.ident.span().start().line,
                what: format!("the file of `mod {}` is not found", item.ident),
            });
            return;
        };
        self.define(&item.ident, Name::Module(module));
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, Vec::new(), !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.uses(segments, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    /// A lower-case name alone that is not called is a variable's.
    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        let variable = path.path.get_ident().is_some_and(|name| !is_type_name(&name.to_string()));
        if !variable {
            visit::visit_expr_path(self, path);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        match &*call.func {
            Expr::Path(function) if function.qself.is_none() => self.visit_path(&function.path),
            other => self.visit_expr(other),
        }
        call.args.iter().for_each(|argument| self.visit_expr(argument));
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    /// What an attribute names is a macro's, never an item's.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    /// `pub(super)` and `pub(in path)` use nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// The path of a macro's tokens that begins with `first`.
fn path_from(first: &Ident, tokens: &mut Peekable<impl Iterator<Item = TokenTree> + Clone>) -> Vec<String> {
    let mut path = vec![first.to_string()];
    loop {
        let mut ahead = tokens.clone();
        let colons = (0..2).all(|_| matches!(ahead.next(), Some(TokenTree::Punct(p)) if p.as_char() == ':'));
        let Some(TokenTree::Ident(name)) = ahead.next().filter(|_| colons) else { return path };
        path.push(name.to_string());
        *tokens = ahead;
    }
}

fn is_type_name(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
}

fn is_test(attribute: &Attribute) -> bool {
    let test_function = attribute.path().segments.last().is_some_and(|last| last.ident == "test");
    let condition = attribute.meta.require_list().ok().filter(|_| attribute.path().is_ident("cfg"));
    test_function || condition.is_some_and(|list| names_test(list.tokens.clone()))
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    let value = &attribute.meta.require_name_value().ok().filter(|meta| meta.path.is_ident("path"))?.value;
    match value {
        Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
        _ => None,
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `path` seen from `folder`, with each `..` resolved.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn defined_name(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}
