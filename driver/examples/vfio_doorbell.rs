//! Doorbells between guests that share an ivshmem device: `vfio_doorbell vfio:0000:01:00.0 wait VECTOR SECONDS` in one,
//! `vfio_doorbell vfio:0000:01:00.0 ring PEER VECTOR` in another.

use std::error::Error;
use std::time::Duration;

use csm::vfio::Device;

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: vfio_doorbell URI wait VECTOR SECONDS | URI ring PEER VECTOR";
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [uri, what, first, second] = &args[..] else { return Err(usage.into()) };
    let device = Device::open(uri)?;
    match what.as_str() {
        "wait" => {
            let interrupts = device.interrupts(device.vectors()?)?;
            println!("peer {} listens to {} vectors", device.doorbell()?.id()?, interrupts.count());
            let rings = interrupts.wait(first.parse()?, Duration::from_secs(second.parse()?))?;
            println!("vector {first} rang {rings} times");
        }
        "ring" => {
            device.doorbell()?.ring(first.parse()?, second.parse()?)?;
            println!("rang vector {second} of peer {first}");
        }
        _ => return Err(usage.into()),
    }
    Ok(())
}
