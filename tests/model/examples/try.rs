#![allow(clippy::all)]
use csm_model::{*,config::*};use stateright::*;
fn main(){
 let n: Vec<u16>=std::env::args().skip(1).map(|a|a.parse().unwrap()).collect();
 let link=[Link::Coherent,Link::Lender,Link::Incoherent][n[0] as usize];
 let f=n[7];
 let c=Config{owners:n[1] as u8,locals:n[2] as u8,borrowers:n[3] as u8,places:n[4] as u8,generations:n[5] as u8,opens:n[6] as u8,exhaustive_copies:f&128!=0,track_order:f&64!=0,
  faults:Faults{owners_crash:f&1!=0,readers_crash:f&2!=0,restart: f&256!=0, silence:f&4!=0,reboot:f&8!=0,detach:f&16!=0},
  order: if f&32!=0 {Order::AcquireFirst} else {Order::LeaseFirst}, ..Config::new(link)};
 let t=std::time::Instant::now();
 let r=Protocol::new(c).checker().spawn_dfs().join();
 println!("{:?} unique {} gen {} depth {} {:?}",c,r.unique_state_count(),r.state_count(),r.max_depth(),t.elapsed());
 for (k,v) in r.discoveries(){println!("{k}: {} steps",v.clone().into_vec().len()); if !k.contains("gen 2") && std::env::var("V").is_ok() {for a in v.into_actions(){println!("   {a:?}")}}}
 println!("{}",std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l|l.starts_with("VmHWM")).unwrap());
}
