//! Who lets go of what, when, on which thread and in which process.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Schema as ArrowRsSchema, SchemaRef};
use csm::table::cdata::{ArrowArray, ArrowSchema};
use csm::table::export::Export;

use crate::arrays::{Dice, batch};
use crate::bridge::{CArray, CSchema, Memory, c_array, c_schema, import, publish};

/// A lease: counts how often it was given back.
struct Lease(Arc<AtomicUsize>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Table {
    memory: Memory,
    returned: Arc<AtomicUsize>,
    export: Option<Arc<Export>>,
    data: ArrayData,
}

impl Table {
    fn new() -> Self {
        let inner = Field::new("x", DataType::Int32, true);
        let of: SchemaRef = Arc::new(ArrowRsSchema::new(vec![
            Field::new("text", DataType::Utf8, true),
            Field::new("s", DataType::Struct(vec![inner].into()), true),
            Field::new("d", DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), true),
            Field::new("v", DataType::Utf8View, true),
        ]));
        let data = batch(&mut Dice::new(2), &of, 8);
        let mut memory = Memory::block();
        let returned = Arc::new(AtomicUsize::new(0));
        let lease = Arc::new(Lease(returned.clone()));
        let export = publish(&of, &[data.clone(), data.clone()], &mut memory, lease);
        Self { memory, returned, export: Some(export), data }
    }

    /// Takes batch 0 and closes the table: what was taken must keep it.
    fn into_batch(mut self) -> (ArrowArray, ArrowSchema, Self) {
        let export = self.export.take().unwrap();
        let (array, schema) = (export.batch(0).unwrap(), export.schema());
        drop(export);
        assert_eq!(self.returned(), 0);
        (array, schema, self)
    }

    fn returned(&self) -> usize {
        self.returned.load(Ordering::SeqCst)
    }
}

/// Moves a child out, as the C Data Interface has it: a copy, and the source marked released.
fn move_child(parent: &mut ArrowArray, k: usize) -> ArrowArray {
    // SAFETY: the parent has such a child.
    unsafe { ArrowArray::from_raw((*c_array(parent).children.add(k)).cast()) }
}

fn move_field(parent: &mut ArrowSchema, k: usize) -> ArrowSchema {
    // SAFETY: the parent has such a child.
    unsafe { ArrowSchema::from_raw((*c_schema(parent).children.add(k)).cast()) }
}

#[test]
fn the_last_child_gives_the_lease_back() {
    let (mut array, mut schema, table) = Table::new().into_batch();
    let mut moved: Vec<_> = (0..4).map(|k| (move_child(&mut array, k), move_field(&mut schema, k))).collect();
    drop((array, schema));
    // A child of a child, and a dictionary, on their own.
    let x = (move_child(&mut moved[1].0, 0), move_field(&mut moved[1].1, 0));
    // SAFETY: the dictionaries are there.
    let words = unsafe {
        let (array, schema) = &mut moved[2];
        let words = c_array(array).dictionary.cast();
        (ArrowArray::from_raw(words), ArrowSchema::from_raw(c_schema(schema).dictionary.cast()))
    };
    moved.remove(1);
    moved.remove(1);
    assert_eq!(table.returned(), 0);

    let of = |k: usize| table.data.child_data()[k].clone();
    let read = |(array, schema): (ArrowArray, ArrowSchema)| import(schema, array);
    let v = read(moved.pop().unwrap());
    let text = read(moved.pop().unwrap());
    let (x, words) = (read(x), read(words));
    for (read, made) in [(v, of(3)), (text, of(0)), (x, of(1).child_data()[0].clone())] {
        assert_eq!(table.returned(), 0);
        read.validate_full().unwrap();
        assert_eq!(read.len(), made.len());
        assert_eq!(read, made);
    }
    assert_eq!(table.returned(), 0);
    assert_eq!(words, of(2).child_data()[0]);
    drop(words);
    assert_eq!(table.returned(), 1);
}

#[test]
fn children_may_go_on_any_thread_at_once() {
    for round in 0..if cfg!(miri) { 3 } else { 200 } {
        let (mut array, _, table) = Table::new().into_batch();
        let moved: Vec<_> = (0..4).map(|k| move_child(&mut array, (k + round) % 4)).collect();
        std::thread::scope(|threads| {
            threads.spawn(move || drop(array));
            for child in moved {
                threads.spawn(move || drop(child));
            }
        });
        assert_eq!(table.returned(), 1);
    }
}

#[test]
fn release_is_once_whoever_calls_it_again() {
    let (mut array, mut schema, table) = Table::new().into_batch();
    let (a, s): (*mut CArray, *mut CSchema) = (c_array(&mut array), c_schema(&mut schema));
    // SAFETY: live structs; the callbacks stand a second call.
    unsafe {
        let (release_array, release_schema) = ((*a).release.unwrap(), (*s).release.unwrap());
        release_array(a);
        assert!((*a).release.is_none());
        assert_eq!(table.returned(), 1);
        release_array(a);
        release_array(ptr::null_mut());
        release_schema(s);
        assert!((*s).release.is_none());
        release_schema(s);
        release_schema(ptr::null_mut());
    }
    drop((array, schema));
    assert_eq!(table.returned(), 1);
}

#[test]
fn a_child_in_the_place_of_a_moved_one_is_released_by_its_own_callback() {
    let (mut one, _, table_one) = Table::new().into_batch();
    let (mut two, _, table_two) = Table::new().into_batch();
    let kept = move_child(&mut one, 0);
    let guest = move_child(&mut two, 0);
    drop(two);
    // SAFETY: the place holds a released struct.
    unsafe { (*c_array(&mut one).children).cast::<ArrowArray>().write(guest) };
    drop(one);
    assert_eq!((table_one.returned(), table_two.returned()), (0, 1));
    drop(kept);
    assert_eq!(table_one.returned(), 1);
}

#[test]
fn a_stream_keeps_the_table_and_its_batches_keep_it_longer() {
    let mut table = Table::new();
    let mut stream = table.export.take().unwrap().stream();
    // SAFETY: this crate obeys the interface.
    let (first, second, end) =
        unsafe { (stream.next_array().unwrap(), stream.next_array().unwrap(), stream.next_array().unwrap()) };
    assert!(first.is_some() && second.is_some() && end.is_none());
    // SAFETY: as above.
    let schema = unsafe { stream.schema() }.unwrap();
    drop((stream, first));
    assert_eq!(table.returned(), 0);
    drop(second);
    assert_eq!(table.returned(), 1);
    // The schema keeps the descriptor alone.
    let names = move_field(&mut { schema }, 1);
    assert!(!names.is_released());
}

#[test]
fn a_released_stream_is_an_error() {
    let mut stream = csm::table::cdata::ArrowArrayStream::empty();
    // SAFETY: it holds no pointer.
    let e = unsafe { stream.next_array() }.unwrap_err();
    assert!(e.message().contains("released"), "{e}");
}

#[test]
#[cfg_attr(miri, ignore = "forks")]
fn a_forked_child_does_not_give_the_lease_back() {
    let mut table = Table::new();
    let export = table.export.take().unwrap();
    let (array, stream) = (export.batch(0).unwrap(), export.stream());
    // SAFETY: the child does nothing but release and leave.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop((array, stream, export));
        // SAFETY: leaves without running what belongs to the parent.
        unsafe { libc::_exit(table.returned() as i32) };
    }
    let mut status = -1;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "the child gave a lease back, or died");
    assert_eq!(table.returned(), 0);
    drop((array, stream, export));
    assert_eq!(table.returned(), 1);
    let _ = &table.memory;
}
