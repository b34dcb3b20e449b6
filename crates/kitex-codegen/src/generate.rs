//! All code of some IDLs, module by module. Owns the order of items in a module; each part is written
//! elsewhere.

use syn::{Item, ItemMod, parse_quote};

use crate::{
    Error,
    ast::ItemKind,
    idl::Idl,
    options::Options,
    rust::Rust,
    scope::Scope,
    service,
    services::{self, Services, Wrappers},
    shorten,
    structs::Structs,
};

/// A module that is being written.
#[derive(Default)]
struct Module {
    path: Vec<String>,
    types: String,
    services: String,
    wrappers: String,
    /// The types that may be the whole of a payload.
    messages: Vec<String>,
}

/// Returns the modules of a checked IDL, the outermost ones.
pub(crate) fn modules(idl: &Idl, options: &Options) -> Result<Vec<ItemMod>, Error> {
    let scope = Scope::new(idl);
    crate::check::check(&scope)?;
    crate::check::annotations::check(&scope, options)?;
    let rust = Rust::new(&scope);
    let mut modules: Vec<Module> = Vec::new();
    for (file, source) in idl.sources.iter().enumerate() {
        let path = rust.names.module(file).to_vec();
        let at = modules.iter().position(|module| module.path == path).unwrap_or_else(|| {
            modules.push(Module { path, ..Module::default() });
            modules.len() - 1
        });
        let module = &mut modules[at];
        let structs = Structs { rust: &rust, options, file };
        for (place, item) in source.file.items.iter().enumerate() {
            let id = (file, place);
            module.types.push_str(&structs.item(id, item)?);
            if matches!(item.kind, ItemKind::Struct(_) | ItemKind::Union(_) | ItemKind::Exception(_)) {
                module.messages.push(rust.names.item(id).to_owned());
            }
        }
        let writer = Services { rust: &rust, file };
        for (id, item, service) in services::of(&rust, file) {
            module.services.push_str(&service::code(&writer.model(id, item, service)));
            let wrappers = writer.wrappers(id, service)?;
            module.wrappers.push_str(&wrappers.code);
            module.messages.extend(wrappers.messages);
        }
    }
    let mut tree = Vec::new();
    for module in modules {
        let path = module.path.clone();
        let items = parsed(idl, module)?;
        let taken = shorten::names(&items);
        let items = items.into_iter().map(|item| shorten::item(item, &taken)).collect();
        insert(&mut tree, &path, items);
    }
    Ok(tree)
}

fn parsed(idl: &Idl, module: Module) -> Result<Vec<Item>, Error> {
    let Module { types, services, wrappers, messages, .. } = module;
    let code = Wrappers::finish(types + &services + &wrappers, &messages);
    let file = syn::parse_file(&code).map_err(|error| {
        let source = &idl.sources[0];
        // Only the user's attributes can be invalid Rust.
        source.error(1, format!("generated code is no Rust ({error}), look at your attributes and names"))
    })?;
    Ok(file.items)
}

/// Adds items to the module at `path`, which is created if it does not exist.
pub(crate) fn insert(modules: &mut Vec<ItemMod>, path: &[String], items: Vec<Item>) {
    let Some((name, rest)) = path.split_first() else { return };
    let ident: syn::Ident =
        syn::parse_str(name).unwrap_or_else(|_| syn::Ident::new("unnamed", proc_macro2::Span::call_site()));
    let at = modules.iter().position(|module| module.ident == ident).unwrap_or_else(|| {
        modules.push(parse_quote!(pub mod #ident {}));
        modules.len() - 1
    });
    let content = &mut modules[at].content.get_or_insert_default().1;
    if rest.is_empty() {
        // Before the nested modules.
        content.splice(0..0, items);
        return;
    }
    let mut inner = Vec::new();
    content.retain(|item| match item {
        Item::Mod(module) => {
            inner.push(module.clone());
            false
        }
        _ => true,
    });
    insert(&mut inner, rest, items);
    content.extend(inner.into_iter().map(Item::Mod));
}
