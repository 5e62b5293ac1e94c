//! The protocols of libcsm as a model that a checker takes through every interleaving.
//!
//! One catalog slot; owner processes that publish, replace, remove, reclaim and reuse; readers on
//! both nodes that open, read and close; on three kinds of links.
//!
//! **Modelled**
//! - Lines at home and in caches. A cache is its node's and outlives its processes; write-backs and
//!   invalidations are queued until a fence and may complete before it; dirty lines go home by
//!   themselves and clean ones are fetched by themselves, at any time (`memory`).
//! - On coherent nodes the store buffer and early loads of each processor, weaker than x86 has them.
//! - The catalog slot: a commit word with a generation counter and two records in its line. One
//!   lease word a process, naming a place. The retired list and the catalog lock, which are the
//!   owner node's own and coherent.
//! - Death of any process at any step, with the lock or a lease in hand; take-over of the lock with a
//!   recount; reaping by neighbours; a new process in a dead one's slot. Pauses are runs in which
//!   the others step.
//! - Time-outs, right and wrong; a node that reboots; a node switched off that comes back.
//! - The operator's fence, right and wrong, of a node that is gone, alive or late; the reader's check;
//!   joining again after a fence, after a boot, and after both.
//!
//! **Not modelled**
//! - A node's processes that share a cache see each other's stores at once: what store buffers
//!   do between them is what the coherent links check.
//! - Loads that are delayed past later stores: closing a table needs release order, always.
//! - Writes by borrowers (law 6), several slots, several leases a process, the heap's insides, threads.
//! - Marks and incarnations of more than one borrower node; two operators at once.
//! - "Home" is where `drain()` says the line has arrived; a fence here includes it.
//! - The death of the owner node: its control metadata is then rebuilt, not taken over.
//! - The building of a table holds the lock here; its bytes are private until the commit.
//!
//! **What it decided** (what is needed has its counterexample in `tests/mutations.rs`)
//! - Data and descriptor may go home under one fence; the commit word only after it.
//! - Lease first, acquire later: then a coherent link needs no fence but the one after the lease. On
//!   others the lease must be home before the second invalidation of the commit word is issued.
//! - What a look led to is in the commit word's own line, one record for each parity of the
//!   generation; whatever lies in another line is invalidated after the look.
//! - Help home: after taking over the lock, before anything else that is fenced; in reaping even if
//!   the lease word reads zero; by a reader on the owner node before it acts on what it saw; by
//!   who joins after a boot for the incarnation.
//! - A lease word carries no incarnation, so a new boot voids nothing by itself. A rebooted node
//!   clears its lease words, then announces its incarnation, then leases. The owner voids
//!   leases of one incarnation proven gone, which it reads with the leases, behind the fence.
//! - A dead member's lease word is cleared only by who holds its slot.
//! - The fence is a mark: a word in the owner's zone that holds the lowest incarnation of the node that
//!   still counts. It is stored under the catalog lock and written home by who stores it, so that
//!   the fenced learn of it, and by every scan that acts on it, before anything is reused. Leases are void,
//!   and a check fails, below the mark: not "if it names this incarnation".
//! - A check after the read is all that keeps a fenced reader from wrong bytes. Nothing is read behind it:
//!   full fence, invalidation of the mark's line, fence, load. Open reads the mark so that a fenced
//!   process opens nothing; where in open it does is free.
//! - A process compares the incarnation that it joined under, in a register, never its node's present one.
//! - Who joins holds its slot, clears its own lease and only then reads the mark, all under one fence.
//! - Clear home, then announce, with a fence between: else a joiner that dies between leaves leases
//!   that the next one does not know to clear. What is reaped slot by slot need not be cleared by who rejoins.
//! - That nobody joins a fenced node beside the living is not needed while a mark counts for all earlier
//!   incarnations; with neither of the two, a second fence is lost on the first one's late reader.
//!
//! `Config` says what is checked, `Mutation` which step is taken out, `explore` and `refute` check it.

pub mod config;
mod copies;
pub mod explore;
mod faults;
pub mod memory;
pub mod program;
pub mod property;
pub mod protocol;
pub mod state;
mod step;
mod writer;
