//! `csm uri`: what a region URI may say, made of the library's own table.

use clap::Args;
use csm::Result;
use csm::uri::{OPTIONS, Scheme, Sort};

use csm_tools::output::Output;

/// Explain region URIs and list their options
#[derive(Args)]
#[command(after_help = option_table())]
pub(crate) struct Uri {}

impl Uri {
    pub(crate) fn run(self) -> Result<()> {
        let mut out = Output::stdout();
        out.line(option_table().trim_end())?;
        out.finish()
    }
}

/// The options, by when they mean something.
pub(crate) fn option_table() -> String {
    let mut text = String::from(
        "A region is named SCHEME:NAME[?OPTION=VALUE[&OPTION=VALUE]...], as in 'shm:trades?size=1G&slot=3'.\n\
         Schemes:\n\
         \x20 shm:NAME                  shared memory of one host\n\
         \x20 incoherent:NAME           the same with a simulated link that keeps no caches coherent\n\
         \x20 file:/PATH                a file, or a character device, that can be mapped\n\
         \x20 dax:/dev/daxX.Y           memory that the kernel maps directly: CXL, persistent memory\n\
         \x20 vfio:DDDD:BB:DD.F         a PCI device's BAR\n\
         \x20 thymesisflow:AFU          another host's memory by ThymesisFlow, or this one's, lent\n\
         \x20 cluster:REGION            what the cluster description says: $CSM_CLUSTER, /etc/csm/cluster.toml, or file=;\n\
         \x20                           this node by its host name, or node=\n\
         Names and values are percent-encoded. Sizes take K, M, G and T.\n",
    );
    let width =
        |column: fn(&(&str, Sort, &str, &str)) -> usize| OPTIONS.iter().map(column).max().unwrap_or(0);
    let (names, defaults) = (width(|option| option.0.len()), width(|option| option.2.len()));
    let row = |(name, _, default, meaning): &(&str, Sort, &str, &str), when: &str| {
        format!("  {name:names$}  {default:defaults$}  {when}{meaning}\n")
    };
    for (sort, title) in [
        (Sort::Checked, "Shape a new region; checked, if given, when it is opened:"),
        (Sort::Create, "Shape a new region; refused when it is opened:"),
        (Sort::PerOpen, "Concern one process's opening:"),
    ] {
        let of_all: Vec<_> =
            OPTIONS.iter().filter(|(name, of, ..)| *of == sort && Scheme::with(name).is_none()).collect();
        if !of_all.is_empty() {
            text += &format!("\n{title}\n");
            of_all.iter().for_each(|option| text += &row(option, ""));
        }
    }
    let mut told: Vec<&[Scheme]> = Vec::new();
    for schemes in OPTIONS.iter().filter_map(|(name, ..)| Scheme::with(name)) {
        if told.contains(&schemes) {
            continue;
        }
        told.push(schemes);
        text += &format!("\nOf {} alone:\n", Scheme::list(schemes));
        for option in OPTIONS.iter().filter(|(name, ..)| Scheme::with(name) == Some(schemes)) {
            let when = match option.1 {
                Sort::Checked => "(checked) ",
                Sort::Create => "(new) ",
                Sort::PerOpen => "(opening) ",
            };
            text += &row(option, when);
        }
    }
    text
}
