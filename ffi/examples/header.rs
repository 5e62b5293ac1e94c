//! Prints include/csm.h: `cargo run -q -p csm-ffi --example header`, or `make header`.
//!
//! cbindgen writes the header, and knows no macros of ours. So what stands in `export!` is turned here into
//! the extern functions that it declares (see boundary.rs), and the kinds of error of the crate csm into the
//! constants `CSM_E_...`.

use std::error::Error;
use std::fs;
use std::path::Path;

use quote::{format_ident, quote};
use syn::{Item, ItemEnum, ItemFn, ReturnType, Type, parse_quote};

/// The files with exported things, in the order of the header.
const FILES: &[&str] = &[
    "error",
    "version",
    "log_callback",
    "ctx",
    "region",
    "heap",
    "publish",
    "table",
    "catalog",
    "members",
    "nodes",
    "leases",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parse = |path: &str| -> Result<_, Box<dyn Error>> {
        Ok(syn::parse_file(&fs::read_to_string(root.join(path))?)?)
    };
    let mut items = Vec::new();
    for file in FILES {
        for item in parse(&format!("src/{file}.rs"))?.items {
            match item {
                Item::Macro(m) if m.mac.path.is_ident("export") => {
                    let functions: syn::File = syn::parse2(m.mac.tokens)?;
                    for function in functions.items {
                        let Item::Fn(function) = function else {
                            return Err("only functions are exported".into());
                        };
                        items.push(extern_function(function));
                    }
                }
                Item::Struct(_) | Item::Type(_) | Item::Const(_) => items.push(item),
                _ => {}
            }
        }
        if *file == "error" {
            items.extend(status_codes(parse("../driver/src/error.rs")?)?);
        }
    }
    let source = std::env::temp_dir().join(format!("csm-header-{}.rs", std::process::id()));
    fs::write(&source, quote!(#(#items)*).to_string())?;
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let bindings = cbindgen::Builder::new().with_config(config).with_src(&source).generate();
    fs::remove_file(&source)?;
    bindings?.write(std::io::stdout());
    Ok(())
}

/// The function that the macro makes, without its body.
fn extern_function(mut function: ItemFn) -> Item {
    let is_result = matches!(&function.sig.output, ReturnType::Type(_, t) if matches!(&**t, Type::Path(p) if p.path.is_ident("Result")));
    if is_result {
        function.sig.inputs.push(parse_quote!(error: *mut csm_error_t));
        function.sig.output = parse_quote!(-> csm_status_t);
    }
    function.sig.abi = parse_quote!(extern "C");
    function.sig.unsafety = parse_quote!(unsafe);
    function.attrs.push(parse_quote!(#[unsafe(no_mangle)]));
    function.block = parse_quote!({});
    Item::Fn(function)
}

/// `pub const CSM_E_NAME_TAKEN: csm_status_t = 40;` of each line of `kinds!`.
fn status_codes(file: syn::File) -> Result<Vec<Item>, Box<dyn Error>> {
    let kinds = file.items.into_iter().find_map(|item| match item {
        Item::Macro(m) if m.mac.path.is_ident("kinds") => Some(m.mac.tokens),
        _ => None,
    });
    let kinds: ItemEnum =
        syn::parse2(kinds.map(|tokens| quote!(enum Kinds { #tokens })).ok_or("no kinds!")?)?;
    let constant = |kind: syn::Variant| {
        let mut name = "CSM_E".to_owned();
        for letter in kind.ident.to_string().chars() {
            if letter.is_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        let (name, docs) = (format_ident!("{name}"), kind.attrs);
        let (_, code) = kind.discriminant.ok_or("a kind without a code")?;
        Ok(parse_quote!(#(#docs)* pub const #name: csm_status_t = #code;))
    };
    kinds.variants.into_iter().map(constant).collect()
}
