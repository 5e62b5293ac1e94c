//! One allocation for a whole tree of exported C structs.
//!
//! Consumers may move any child out of its parent and release it on its own, on
//! any thread, in any order. So every struct of a tree holds one reference on
//! the block that all of them live in; the block holds the owner of what they
//! point to (a lease, a descriptor) and lets go of it when the last struct is
//! released.
//!
//! A forked child has copies of all this. It may release what it finds, but
//! [`Owner`] does not let go there: dropping a lease would take it from the parent.
#![allow(unsafe_code, reason = "builds structs that C consumers release")]

use std::alloc::{self, Layout};
use std::any::Any;
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use super::cdata::{ArrowArray, ArrowSchema};
use super::schema::Schema;

/// What keeps exported memory alive. In a fork of the process that made it, it is leaked.
#[derive(Clone)]
pub(crate) struct Owner {
    what: ManuallyDrop<Arc<dyn Any + Send + Sync>>,
    process: u32,
}

/// A number that a forked child does not share. Miri knows neither fork nor its handlers.
fn this_process() -> u32 {
    if cfg!(miri) { 0 } else { crate::sys::process::fork_count() }
}

impl Owner {
    pub(crate) fn new(what: Arc<dyn Any + Send + Sync>) -> Self {
        Self { what: ManuallyDrop::new(what), process: this_process() }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.process == this_process() {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.what) };
        }
    }
}

/// The links that `ArrowSchema` and `ArrowArray` have in common.
pub(crate) trait CNode: Sized {
    fn link(&mut self, n_children: u32, children: *mut *mut Self, dictionary: *mut Self);
    fn arm(&mut self, release: unsafe extern "C" fn(*mut Self), block: *mut c_void);
    fn disarm(&mut self);
    /// The block of a struct that was not released, else null.
    fn block(&self) -> *mut c_void;
    fn is_live(&self) -> bool;
    fn n_children(&self) -> usize;
    fn children(&self) -> *mut *mut Self;
    fn dictionary(&self) -> *mut Self;
    /// Calls the struct's own callback.
    ///
    /// # Safety
    /// The struct is live.
    unsafe fn release(this: *mut Self);
}

macro_rules! c_node {
    ($name:ident) => {
        impl CNode for $name {
            fn link(&mut self, n_children: u32, children: *mut *mut Self, dictionary: *mut Self) {
                self.n_children = i64::from(n_children);
                self.children = children;
                self.dictionary = dictionary;
            }
            fn arm(&mut self, release: unsafe extern "C" fn(*mut Self), block: *mut c_void) {
                self.release = Some(release);
                self.private_data = block;
            }
            fn disarm(&mut self) {
                self.release = None;
                self.private_data = ptr::null_mut();
            }
            fn block(&self) -> *mut c_void {
                self.private_data
            }
            fn is_live(&self) -> bool {
                self.release.is_some()
            }
            fn n_children(&self) -> usize {
                usize::try_from(self.n_children).unwrap_or(0)
            }
            fn children(&self) -> *mut *mut Self {
                self.children
            }
            fn dictionary(&self) -> *mut Self {
                self.dictionary
            }
            unsafe fn release(this: *mut Self) {
                // SAFETY: the caller says that the struct is live.
                unsafe {
                    if let Some(release) = (*this).release {
                        release(this);
                    }
                }
            }
        }
    };
}
c_node!(ArrowSchema);
c_node!(ArrowArray);

/// The head of the allocation. The structs, their child lists and the words follow.
struct Block {
    refs: AtomicUsize,
    len_bytes: usize,
    _owner: Owner,
}

/// The tail of a block: words for pointers and lengths, handed out in order.
pub(crate) struct Words {
    next: *mut u64,
    left: usize,
}

impl Words {
    /// The next `n` words, uninitialized; null for none.
    pub(crate) fn take(&mut self, n: usize) -> *mut u64 {
        assert!(n <= self.left, "a block was sized for fewer words");
        if n == 0 {
            return ptr::null_mut();
        }
        let at = self.next;
        self.left -= n;
        // SAFETY: `n` words are left in the block, by the assertion.
        self.next = unsafe { at.add(n) };
        at
    }
}

/// Builds the tree of `schema` in one block: `fill(i, words)` makes node `i`
/// without its links, taking at most `n_words` words altogether.
pub(crate) fn build<T: CNode>(
    schema: &Schema,
    n_words: usize,
    owner: Owner,
    mut fill: impl FnMut(usize, &mut Words) -> T,
) -> T {
    const { assert!(align_of::<T>() == 8 && size_of::<T>().is_multiple_of(8)) };
    const { assert!(align_of::<Block>() == 8 && size_of::<Block>().is_multiple_of(8)) };

    let nodes = schema.nodes();
    let n_below = nodes.len() - 1;
    let len_bytes = size_of::<Block>() + n_below * size_of::<T>() + 8 * (n_below + n_words);
    let layout = block_layout(len_bytes);
    #[expect(clippy::cast_ptr_alignment, reason = "allocated with alignment 8")]
    // SAFETY: the layout is not empty.
    let Some(block) = NonNull::new(unsafe { alloc::alloc(layout) }.cast::<Block>()) else {
        alloc::handle_alloc_error(layout)
    };
    let block = block.as_ptr();
    // SAFETY: in order, inside the allocation: the head, `n_below` structs, `n_below` links, `n_words` words.
    // Everything has alignment 8.
    unsafe {
        block.write(Block { refs: AtomicUsize::new(nodes.len()), len_bytes, _owner: owner });
        let below = block.add(1).cast::<T>();
        let mut links = below.add(n_below).cast::<*mut T>();
        let mut words = Words { next: links.add(n_below).cast::<u64>(), left: n_words };

        let mut root = None;
        for (i, node) in nodes.iter().enumerate() {
            let mut c_node = fill(i, &mut words);
            // Node `i` is `below[i - 1]`. A leaf has no list, as most producers do.
            let children = if node.n_children == 0 { ptr::null_mut() } else { links };
            let mut at = i + 1;
            for _ in 0..node.n_children {
                links.write(below.add(at - 1));
                links = links.add(1);
                at = nodes[at].end as usize;
            }
            let dictionary = if node.has_dictionary { below.add(at - 1) } else { ptr::null_mut() };
            c_node.link(node.n_children, children, dictionary);
            c_node.arm(release::<T>, block.cast());
            match i {
                0 => root = Some(c_node),
                _ => below.add(i - 1).write(c_node),
            }
        }
        // A schema has at least its root: the loop ran.
        root.unwrap_unchecked()
    }
}

fn block_layout(len_bytes: usize) -> Layout {
    // SAFETY: 8 is a power of two; blocks are as long as what was read into memory, far from isize::MAX.
    unsafe { Layout::from_size_align_unchecked(len_bytes, 8) }
}

/// The release callback of every struct of a tree.
unsafe extern "C" fn release<T: CNode>(node: *mut T) {
    // SAFETY: consumers call this once on a struct that `build` made, wherever they moved it.
    unsafe {
        if node.is_null() || !(*node).is_live() {
            return;
        }
        let block = (*node).block();
        let n = detach(node, block);
        let block = block.cast::<Block>();
        if (*block).refs.fetch_sub(n, Ordering::Release) != n {
            return;
        }
        fence(Ordering::Acquire);
        let head = block.read();
        alloc::dealloc(block.cast(), block_layout(head.len_bytes));
    }
}

/// Marks `node` and all below it that was not moved out as released; returns how many references they held.
///
/// # Safety
/// `node` is a live struct of `block`.
unsafe fn detach<T: CNode>(node: *mut T, block: *mut c_void) -> usize {
    // SAFETY: links lead to structs in the block, which this struct's reference keeps.
    unsafe {
        let mut n = 1;
        let n_children = (*node).n_children();
        for k in 0..=n_children {
            let below = if k < n_children { *(*node).children().add(k) } else { (*node).dictionary() };
            if below.is_null() || !(*below).is_live() {
                continue;
            }
            if (*below).block() == block {
                n += detach(below, block);
            } else {
                // A consumer put a struct of its own in the place of a moved one.
                T::release(below);
            }
        }
        (*node).disarm();
        n
    }
}
