#![allow(clippy::all)]
use csm_model::{*,config::*};use stateright::*;use Mutation::*;
fn main(){
 let all=[None,NoSecondLook,NoGeneration,NoHelpHome,NoStagedAcquire,NoQuarantine,NoStoreLoadFenceReader,NoStoreLoadFenceOwner,NoReleaseFence,NoWriteBackData,NoWriteBackLease,NoWriteBackClose,NoInvalidateSecondLook,NoInvalidateLeases,RetireAfterSwing,NoSlotLock,NoRejoinClear,NoRejoinFence,VoidForever,VoidByIncarnation];
 let ex=std::env::var("EX").is_ok();
 for m in all{ for link in [Link::Coherent,Link::Lender,Link::Incoherent]{
  let b=Config{exhaustive_copies:ex,..Config::new(link)};
  let crash=Faults{owners_crash:true,readers_crash:true,..Faults::default()};
  let cs=[("plain",b),("acq",Config{order:Order::AcquireFirst,..b}),("2own-crash",Config{owners:2,faults:crash,..b}),("2bor-crash",Config{borrowers:2,faults:Faults{restart:true,..crash},..b}),
   ("local",Config{locals:1,track_order:true,..b}),("2pl",Config{places:2,generations:3,owners:2,faults:crash,..b}),("silence",Config{faults:Faults{silence:true,..Faults::default()},..b}),
   ("reboot",Config{borrowers:2,faults:Faults{reboot:true,detach:true,readers_crash:true,..Faults::default()},..b})];
  let mut out=String::new();
  for (n,c) in cs{ if ex && (n.contains("2bor")||n=="local"||n=="reboot"||n=="2pl"){continue}
   let r=Protocol::new(c.without(m)).checker().spawn_bfs().join();
   let d=r.discoveries(); let mut v:Vec<_>=d.iter().filter(|(k,_)|!k.contains("gen 2")).map(|(k,v)|{let k=match k.split(' ').nth(1).unwrap(){"reader"=>"SAW","is"=>"REUSE","open"=>"BACK",_=>"LIVE"};format!("{k}:{}",v.clone().into_vec().len()-1)}).collect(); v.sort();
   if !d.keys().any(|k|k.contains("gen 2")) {v.push("!".into())}
   if !v.is_empty(){out+=&format!(" {n}({})[{}]",r.unique_state_count(),v.join(" "))}
  }
  println!("{m:?} {link:?}:{out}");
 }}
}
