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
         Names and values are percent-encoded. Sizes take K, M, G and T.\n",
    );
    let width =
        |column: fn(&(&str, Sort, &str, &str)) -> usize| OPTIONS.iter().map(column).max().unwrap_or(0);
    let (names, defaults) = (width(|option| option.0.len()), width(|option| option.2.len()));
    for (sort, title) in [
        (Sort::Checked, "Shape a new region; checked, if given, when it is opened:"),
        (Sort::Create, "Shape a new region; refused when it is opened:"),
        (Sort::PerOpen, "Concern one process's opening:"),
    ] {
        text += &format!("\n{title}\n");
        for (name, _, default, meaning) in OPTIONS.iter().filter(|(_, of, ..)| *of == sort) {
            let only =
                Scheme::with(name).map_or_else(String::new, |some| format!("{} alone: ", Scheme::list(some)));
            text += &format!("  {name:names$}  {default:defaults$}  {only}{meaning}\n");
        }
    }
    text
}
