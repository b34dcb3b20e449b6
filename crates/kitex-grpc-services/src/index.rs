//! Descriptors by file, by symbol and by extension. Owns the names; knows nothing of calls.

use std::collections::{BTreeMap, HashMap, HashSet};

use kitex::bytes::Bytes;
use kitex::prost::Message;
use kitex::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};
use thiserror::Error;

/// Bytes are no encoded `FileDescriptorSet`.
#[derive(Debug, Error)]
#[error("no encoded FileDescriptorSet: {0}")]
pub struct BadDescriptors(String);

/// Files, by what is asked for.
#[derive(Debug, Default)]
pub(crate) struct Index {
    files: HashMap<String, File>,
    /// The file of each symbol.
    symbols: HashMap<String, String>,
    /// The file of each extension, by the type that is extended and its number.
    extensions: BTreeMap<(String, i32), String>,
    services: Vec<String>,
}

#[derive(Debug)]
struct File {
    encoded: Bytes,
    imports: Vec<String>,
}

impl Index {
    /// Adds the files of an encoded `FileDescriptorSet`; a file that is known is left as it is.
    pub(crate) fn add(&mut self, descriptors: &[u8]) -> Result<(), BadDescriptors> {
        let set =
            FileDescriptorSet::decode(descriptors).map_err(|error| BadDescriptors(error.to_string()))?;
        set.file.iter().for_each(|file| self.add_file(file));
        Ok(())
    }

    fn add_file(&mut self, file: &FileDescriptorProto) {
        if self.files.contains_key(file.name()) {
            return;
        }
        let (encoded, imports) = (file.encode_to_vec().into(), file.dependency.clone());
        self.files.insert(file.name().to_owned(), File { encoded, imports });
        let mut adder = Adder { index: self, file: file.name() };
        let scope = file.package();
        file.message_type.iter().for_each(|message| adder.message(scope, message));
        file.enum_type.iter().for_each(|kind| adder.kind(scope, kind));
        file.extension.iter().for_each(|extension| adder.extension(scope, extension));
        file.service.iter().for_each(|service| adder.service(scope, service));
    }

    /// Returns the names of all services, sorted.
    pub(crate) fn services(&self) -> &[String] {
        &self.services
    }

    /// Returns a file and all that it imports.
    pub(crate) fn file(&self, name: &str) -> Option<Vec<Bytes>> {
        self.files.get(name)?;
        let (mut found, mut seen, mut waiting) = (Vec::new(), HashSet::from([name]), vec![name]);
        while let Some(file) = waiting.pop().and_then(|name| self.files.get(name)) {
            found.push(file.encoded.clone());
            waiting.extend(file.imports.iter().map(String::as_str).filter(|name| seen.insert(name)));
            waiting.retain(|name| self.files.contains_key(*name));
        }
        Some(found)
    }

    pub(crate) fn file_of_symbol(&self, symbol: &str) -> Option<Vec<Bytes>> {
        self.file(self.symbols.get(symbol.strip_prefix('.').unwrap_or(symbol))?)
    }

    pub(crate) fn file_of_extension(&self, of: &str, number: i32) -> Option<Vec<Bytes>> {
        self.file(self.extensions.get(&(of.to_owned(), number))?)
    }

    /// Returns the numbers of the extensions of a message; `None` if there is no such message.
    pub(crate) fn extensions_of(&self, of: &str) -> Option<Vec<i32>> {
        self.symbols.get(of)?;
        let extensions = self.extensions.range((of.to_owned(), i32::MIN)..=(of.to_owned(), i32::MAX));
        Some(extensions.map(|((_, number), _)| *number).collect())
    }
}

/// Adds the symbols of one file.
struct Adder<'a> {
    index: &'a mut Index,
    file: &'a str,
}

impl Adder<'_> {
    /// Adds a symbol of `scope` and returns its full name.
    fn symbol(&mut self, scope: &str, name: &str) -> String {
        let name = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        self.index.symbols.insert(name.clone(), self.file.to_owned());
        name
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = self.symbol(scope, message.name());
        for field in &message.field {
            self.symbol(&name, field.name());
        }
        for oneof in &message.oneof_decl {
            self.symbol(&name, oneof.name());
        }
        message.nested_type.iter().for_each(|nested| self.message(&name, nested));
        message.enum_type.iter().for_each(|kind| self.kind(&name, kind));
        message.extension.iter().for_each(|extension| self.extension(&name, extension));
    }

    /// A value is a symbol beside its enum, not within it.
    fn kind(&mut self, scope: &str, kind: &EnumDescriptorProto) {
        self.symbol(scope, kind.name());
        for value in &kind.value {
            self.symbol(scope, value.name());
        }
    }

    fn extension(&mut self, scope: &str, extension: &FieldDescriptorProto) {
        self.symbol(scope, extension.name());
        let of = extension.extendee().trim_start_matches('.').to_owned();
        self.index.extensions.insert((of, extension.number()), self.file.to_owned());
    }

    fn service(&mut self, scope: &str, service: &ServiceDescriptorProto) {
        let name = self.symbol(scope, service.name());
        for method in &service.method {
            self.symbol(&name, method.name());
        }
        if let Err(place) = self.index.services.binary_search(&name) {
            self.index.services.insert(place, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, extendee: Option<&str>, number: i32) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some(name.to_owned()),
            extendee: extendee.map(str::to_owned),
            number: Some(number),
            ..FieldDescriptorProto::default()
        }
    }

    fn file(name: &str, imports: &[&str]) -> FileDescriptorProto {
        FileDescriptorProto {
            name: Some(name.to_owned()),
            package: Some("acme".to_owned()),
            dependency: imports.iter().map(ToString::to_string).collect(),
            ..FileDescriptorProto::default()
        }
    }

    fn index() -> Index {
        let inner = DescriptorProto { name: Some("Inner".to_owned()), ..DescriptorProto::default() };
        let outer = DescriptorProto {
            name: Some("Outer".to_owned()),
            field: vec![field("text", None, 1)],
            nested_type: vec![inner],
            extension: vec![field("inside", Some(".acme.Base"), 101)],
            ..DescriptorProto::default()
        };
        let base = DescriptorProto { name: Some("Base".to_owned()), ..DescriptorProto::default() };
        let files = [
            FileDescriptorProto { message_type: vec![base], ..file("base.proto", &[]) },
            FileDescriptorProto {
                message_type: vec![outer],
                extension: vec![field("beside", Some(".acme.Base"), 100)],
                ..file("outer.proto", &["base.proto", "gone.proto"])
            },
            // Files that import each other, which no compiler makes.
            file("one.proto", &["two.proto"]),
            file("two.proto", &["one.proto"]),
        ];
        let mut index = Index::default();
        index.add(&FileDescriptorSet { file: files.to_vec() }.encode_to_vec()).unwrap();
        index
    }

    #[test]
    fn files_are_found_by_name_by_symbol_and_by_extension_with_what_they_import() {
        let index = index();
        let names = |found: Option<Vec<Bytes>>| -> Vec<String> {
            let file = |bytes: &Bytes| FileDescriptorProto::decode(bytes.clone()).unwrap().name().to_owned();
            found.iter().flatten().map(file).collect()
        };
        for symbol in ["acme.Outer", ".acme.Outer", "acme.Outer.text", "acme.Outer.Inner", "acme.beside"] {
            assert_eq!(names(index.file_of_symbol(symbol)), ["outer.proto", "base.proto"], "{symbol}");
        }
        assert_eq!(names(index.file_of_extension("acme.Base", 101)), ["outer.proto", "base.proto"]);
        assert_eq!(index.extensions_of("acme.Base").unwrap(), [100, 101]);
        assert_eq!(index.extensions_of("acme.Outer").unwrap(), [0; 0]);
        assert_eq!(names(index.file("one.proto")), ["one.proto", "two.proto"]);
        let unknown = [index.file("gone.proto"), index.file_of_symbol("acme.None"), index.file_of_symbol("")];
        assert!(unknown.iter().all(Option::is_none) && index.extensions_of("None").is_none());
        assert!(index.file_of_extension("acme.Base", 7).is_none());
    }

    #[test]
    fn bytes_that_are_no_descriptors_are_refused() {
        let error = Index::default().add(&[0x0a, 9]).unwrap_err();
        assert!(error.to_string().starts_with("no encoded FileDescriptorSet: "), "{error}");
    }
}
