//! Protobuf IDL to Rust: messages by prost-build from what protox has parsed, services by the templates of Thrift's.
//! Owns the way from `.proto` files to modules; a process is not started, `protoc` neither.

mod service;

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use prost::Message;
use prost_build::{Config, Module};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use syn::{Item, ItemMod};

use crate::{Error, generate, names, options::Options, shorten};

/// `.proto` files with all that they import, each file once, an imported one before what imports it.
#[derive(Debug)]
pub(crate) struct Proto {
    files: Vec<FileDescriptorProto>,
    /// The paths of all files but those that protox itself has.
    pub(crate) inputs: Vec<PathBuf>,
    /// The files that were named, not only imported.
    roots: Vec<usize>,
}

impl Proto {
    /// Reads `paths` and what they import, looked for in `include_dirs`, then beside the named file.
    pub(crate) fn read(paths: &[PathBuf], include_dirs: &[PathBuf]) -> Result<Self, Error> {
        let mut dirs = include_dirs.to_vec();
        for path in paths {
            let beside = path.parent().unwrap_or(Path::new("")).to_path_buf();
            let beside = if beside.as_os_str().is_empty() { PathBuf::from(".") } else { beside };
            if !dirs.iter().any(|dir| path.starts_with(dir)) {
                dirs.push(beside);
            }
        }
        let mut compiler = protox::Compiler::new(&dirs).map_err(|error| problem(&error))?;
        compiler.include_imports(true).include_source_info(true);
        compiler.open_files(paths).map_err(|error| problem(&error))?;
        let inputs = compiler.files().filter_map(|file| file.path().map(Path::to_path_buf)).collect();
        let roots = compiler.files().enumerate().filter(|(_, file)| !file.is_import());
        let roots = roots.map(|(at, _)| at).collect();
        let files = compiler.file_descriptor_set().file;
        match files.iter().find(|file| file.package().is_empty()) {
            Some(file) => Err(Error::Idl {
                file: file.name().into(),
                line: 1,
                problem: "there is no package, add one: it names the module and the path of a call"
                    .to_owned(),
            }),
            None => Ok(Self { files, inputs, roots }),
        }
    }

    /// The first names of the packages of its own and of what it imports.
    pub(crate) fn roots(&self) -> HashSet<String> {
        let files = self.files.iter().filter(|file| !is_well_known(file));
        files.map(|file| file.package().split('.').next().unwrap_or_default().to_owned()).collect()
    }

    /// The modules of its packages, the outermost ones.
    pub(crate) fn modules(&self, options: &Options) -> Result<Vec<ItemMod>, Error> {
        let files = self.files.iter().filter(|file| !is_well_known(file));
        let requests = files.map(|file| (module(file), plain_comments(file.clone()))).collect();
        let taken = self.taken();
        let code = config(options, taken).generate(requests).map_err(|source| Error::Io {
            path: self.inputs.first().cloned().unwrap_or_default(),
            action: "cannot generate code",
            source,
        })?;
        let mut tree = Vec::new();
        // In an order that is the same in each run.
        for (module, mut code) in code.into_iter().collect::<BTreeMap<_, _>>() {
            code.push_str(&self.descriptors_of(&module));
            let path: Vec<String> = module.parts().map(str::to_owned).collect();
            let file = syn::parse_file(&code).map_err(|error| Error::Idl {
                file: self.inputs.first().cloned().unwrap_or_default(),
                line: 1,
                problem: format!("generated code is no Rust ({error}), look at your attributes and names"),
            })?;
            generate::insert(&mut tree, &path, shortened(file.items));
        }
        Ok(tree)
    }

    /// The names of the types of each package.
    fn taken(&self) -> BTreeMap<String, HashSet<String>> {
        let mut taken: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        for file in &self.files {
            let messages = file.message_type.iter().map(DescriptorProto::name);
            let names =
                messages.chain(file.enum_type.iter().map(EnumDescriptorProto::name)).map(names::camel);
            taken.entry(file.package().to_owned()).or_default().extend(names);
        }
        taken
    }

    /// A static for each named file of `module`: the file and all that it imports, encoded as a `FileDescriptorSet`.
    fn descriptors_of(&self, module: &Module) -> String {
        let roots = self.roots.iter().filter_map(|at| self.files.get(*at).map(|file| (*at, file)));
        let mut code = String::new();
        for (at, file) in roots.filter(|(_, file)| self::module(file) == *module) {
            let stem = Path::new(file.name()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = FileDescriptorSet { file: self.with_imports(at) }.encode_to_vec();
            let (name, literal) = (names::shouty(&stem), proc_macro2::Literal::byte_string(&bytes));
            code.push_str(&format!(
                "/// `{}` and all that it imports, as an encoded `FileDescriptorSet`: for server reflection.
                pub static {name}_DESCRIPTORS: &[u8] = {literal};",
                file.name()
            ));
        }
        code
    }

    /// A file and all that it imports, without comments, imported ones first.
    fn with_imports(&self, root: usize) -> Vec<FileDescriptorProto> {
        let mut wanted: HashSet<&str> =
            self.files.get(root).map(FileDescriptorProto::name).into_iter().collect();
        // Imported files come before the files that import them.
        for file in self.files.iter().rev() {
            if wanted.contains(file.name()) {
                wanted.extend(file.dependency.iter().map(String::as_str));
            }
        }
        let files = self.files.iter().filter(|file| wanted.contains(file.name()));
        files.map(|file| FileDescriptorProto { source_code_info: None, ..file.clone() }).collect()
    }
}

fn config(options: &Options, taken: BTreeMap<String, HashSet<String>>) -> Config {
    let mut config = Config::new();
    config
        .prost_path("::kitex::prost")
        .prost_types_path("::kitex::prost_types")
        .bytes(["."])
        .service_generator(Box::new(service::Services { taken }));
    for (name, attribute) in &options.types {
        config.type_attribute(name, attribute);
    }
    for (path, attribute) in &options.fields {
        config.field_attribute(path, attribute);
    }
    config
}

fn module(file: &FileDescriptorProto) -> Module {
    Module::from_protobuf_package_name(file.package())
}

/// Its types are in `prost-types`.
fn is_well_known(file: &FileDescriptorProto) -> bool {
    file.package() == "google.protobuf"
}

/// Comments without indentation, which rustdoc would take for code and compile as a test.
fn plain_comments(mut file: FileDescriptorProto) -> FileDescriptorProto {
    let plain = |comment: &mut Option<String>| {
        if let Some(text) = comment {
            *text = plain_comment(text);
        }
    };
    for location in file.source_code_info.iter_mut().flat_map(|info| &mut info.location) {
        location.leading_detached_comments.clear();
        plain(&mut location.leading_comments);
        plain(&mut location.trailing_comments);
    }
    file
}

fn plain_comment(text: &str) -> String {
    let mut fenced = false;
    let line = |line: &str| {
        let line = line.trim();
        if !line.starts_with("```") {
            return format!(" {line}\n");
        }
        fenced = !fenced;
        if fenced { " ```text\n".to_owned() } else { " ```\n".to_owned() }
    };
    let mut plain: String = text.lines().map(line).collect();
    if fenced {
        plain.push_str(" ```\n");
    }
    plain
}

/// Items of a module with short paths. Modules within stay as prost has written them: other names are known there.
fn shortened(items: Vec<Item>) -> Vec<Item> {
    let taken = shorten::names(&items);
    let shorten = |item| match item {
        Item::Mod(_) => item,
        item => shorten::item(item, &taken),
    };
    items.into_iter().map(shorten).collect()
}

/// protox shows `file:line:column: problem` as its debug text.
fn problem(error: &protox::Error) -> Error {
    let text = format!("{error:?}");
    let text = text.lines().next().unwrap_or_default();
    let place = text.split_once(": ").and_then(|(place, problem)| {
        let mut parts = place.rsplitn(3, ':');
        let (_, line, file) =
            (parts.next()?.parse::<usize>().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        Some(Error::Idl { file: file.into(), line, problem: problem.to_owned() })
    });
    place.unwrap_or_else(|| Error::Idl {
        file: error.file().unwrap_or("proto").into(),
        line: 1,
        problem: error.to_string(),
    })
}
