//! `cluster:REGION?file=FILE&node=N&OPTION=VALUE...`: a region by its name in the description.

use std::path::Path;

use super::resolve;
use crate::error::{Error, ErrorKind, Result};
use crate::uri::{self, Uri};

/// The URI that `text` is, or stands for if it is `cluster:REGION`; its further options are added to what the
/// description says.
///
/// # Errors
/// Those of [`Uri::parse`] and [`resolve`]; [`ErrorKind::OptionMismatch`] for an option that the description gives another
/// value.
pub fn uri(text: &str) -> Result<Uri> {
    let Some(rest) = text.strip_prefix("cluster:") else { return Uri::parse(text) };
    let about = |e: Error| e.context(format_args!("region {text:?}"));
    let (region, mut options) = uri::split(text, rest)?;
    let mut take = |name: &str| {
        let at = options.iter().position(|(key, _)| *key == name)?;
        Some(options.remove(at).1)
    };
    let (file, node) = (take("file"), take("node"));
    let number = |node: &String| {
        node.parse::<u64>().map_err(|_| {
            let text = format!(
                "node={node}: not a node's number; leave it out where the host name says which node this is"
            );
            Error::new(ErrorKind::InvalidArgument, text)
        })
    };
    let node = node.as_ref().map(number).transpose().map_err(about)?;
    let mut uri = Uri::parse(&resolve(&region, file.as_deref().map(Path::new), node).map_err(about)?)?;
    for (key, value) in options {
        if let Some(given) = uri.get(key).filter(|given| *given != value) {
            let text = format!("{key}={value}: the cluster description says {key}={given}; leave it out");
            return Err(about(Error::new(ErrorKind::OptionMismatch, text)));
        }
        uri.set(key, &value).map_err(about)?;
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[[node]]
name = "a"
id = 0
hosts = ["a.example"]

[[region]]
name = "trades"
owner = "a"
size = "64M"
slot = 3
[region.on.a]
device = "shm:cluster-trades"
"#;

    #[test]
    fn a_name_stands_for_what_the_file_says() {
        let path = std::env::temp_dir().join(format!("csm-cluster-{}.toml", std::process::id()));
        std::fs::write(&path, TEXT).expect("write");
        let name = |options: &str| uri(&format!("cluster:trades?file={}{options}", path.display()));
        let found = name("&node=0&access=ro").expect("a URI");
        assert_eq!(
            (found.name(), found.get("slot"), found.get("access")),
            ("cluster-trades", Some("3"), Some("ro"))
        );
        for (options, kind, part) in [
            ("", ErrorKind::InvalidArgument, "a.example"),
            ("&node=7", ErrorKind::InvalidArgument, "no node 7"),
            ("&node=a", ErrorKind::InvalidArgument, "node=a"),
            ("&node=0&slot=4", ErrorKind::OptionMismatch, "says slot=3"),
            ("&node=0&sise=4", ErrorKind::BadUri, "sise"),
            ("&node", ErrorKind::BadUri, "no value"),
        ] {
            let e = name(options).expect_err(options);
            assert!(e.kind() == kind && e.message().contains(part), "{options}: {e:?}");
        }
        let e = uri("cluster:trades?file=/nowhere/cluster.toml").expect_err("no file");
        assert!(e.message().contains("/nowhere/cluster.toml"), "{e}");
        assert_eq!(uri("shm:x").expect("any other").name(), "x");
        std::fs::remove_file(path).expect("remove");
    }
}
