//! Holds a PCI device for the other processes of this host: `vfio_holder vfio:0000:01:00.0`, until its input ends.
//!
//! What `csm-bringup attach` does with one, without the rest.

use std::error::Error;
use std::io::{Read, stdin};

fn main() -> Result<(), Box<dyn Error>> {
    let uri = std::env::args().nth(1).ok_or("usage: vfio_holder vfio:0000:01:00.0")?;
    let holder = csm::vfio::Holder::open(&uri)?;
    println!("holding group {} for others at {}", holder.group(), holder.socket().display());
    for bar in holder.bars()? {
        println!("BAR {}: {} bytes, {:x?} can be mapped", bar.index, bar.size_bytes, bar.mappable);
    }
    stdin().read_to_end(&mut Vec::new())?;
    println!("lent to {:?}", holder.borrowers());
    Ok(())
}
