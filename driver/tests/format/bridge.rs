//! From arrow-rs into a descriptor and back: what publish and open do around the region.

use std::any::Any;
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_data::ArrayData;
use arrow_schema::{Schema as ArrowRsSchema, SchemaRef};
use csm::Result;
use csm::table::cdata::{ArrowArray, ArrowArrayStream, ArrowSchema};
use csm::table::descriptor::{Descriptor, Draft};
use csm::table::export::Export;
use csm::table::measure::measure;
use csm::table::schema::Schema;
use csm::table::shape::{BatchShape, PlacedBatch, RawBuffer};

pub const HOME: [u8; 16] = *b"the home region.";

pub fn lend_schema(schema: &ArrowRsSchema) -> ArrowSchema {
    let ffi = FFI_ArrowSchema::try_from(schema).unwrap();
    // SAFETY: both are the struct of the C Data Interface.
    unsafe { std::mem::transmute::<FFI_ArrowSchema, ArrowSchema>(ffi) }
}

pub fn lend(batch: &ArrayData) -> ArrowArray {
    // SAFETY: as above.
    unsafe { std::mem::transmute::<FFI_ArrowArray, ArrowArray>(FFI_ArrowArray::new(batch)) }
}

pub fn to_ffi(array: ArrowArray) -> FFI_ArrowArray {
    // SAFETY: as above.
    unsafe { std::mem::transmute::<ArrowArray, FFI_ArrowArray>(array) }
}

pub fn to_ffi_schema(schema: ArrowSchema) -> FFI_ArrowSchema {
    // SAFETY: as above.
    unsafe { std::mem::transmute::<ArrowSchema, FFI_ArrowSchema>(schema) }
}

pub fn to_ffi_stream(stream: ArrowArrayStream) -> arrow_array::ffi_stream::FFI_ArrowArrayStream {
    // SAFETY: as above.
    unsafe { std::mem::transmute(stream) }
}

pub fn take_schema(schema: &ArrowRsSchema) -> Schema {
    // SAFETY: arrow-rs obeys the interface.
    unsafe { Schema::from_c(&lend_schema(schema)) }.unwrap()
}

pub fn take_shape(schema: &Schema, array: &ArrowArray) -> Result<BatchShape> {
    // SAFETY: arrow-rs obeys the interface.
    unsafe { measure(schema, array) }
}

/// `struct ArrowArray` as C sees it: what a producer may fill in wrongly and a consumer may move.
#[repr(C)]
pub struct CArray {
    pub length: i64,
    pub null_count: i64,
    pub offset: i64,
    pub n_buffers: i64,
    pub n_children: i64,
    pub buffers: *mut *const c_void,
    pub children: *mut *mut CArray,
    pub dictionary: *mut CArray,
    pub release: Option<unsafe extern "C" fn(*mut CArray)>,
    pub private_data: *mut c_void,
}

/// `struct ArrowSchema` as C sees it.
#[repr(C)]
pub struct CSchema {
    pub format: *const c_char,
    pub name: *const c_char,
    pub metadata: *const c_char,
    pub flags: i64,
    pub n_children: i64,
    pub children: *mut *mut CSchema,
    pub dictionary: *mut CSchema,
    pub release: Option<unsafe extern "C" fn(*mut CSchema)>,
    pub private_data: *mut c_void,
}

pub fn c_array(array: &mut ArrowArray) -> &mut CArray {
    // SAFETY: the same struct.
    unsafe { &mut *ptr::from_mut(array).cast() }
}

pub fn c_schema(schema: &mut ArrowSchema) -> &mut CSchema {
    // SAFETY: the same struct.
    unsafe { &mut *ptr::from_mut(schema).cast() }
}

/// A stand-in for regions.
pub enum Memory {
    /// The whole address space as one region at address 0: buffers stay where they are.
    Everything,
    /// A block of its own into which buffers are copied: Miri knows where it ends.
    Block(Vec<u128>, usize),
}

impl Memory {
    pub fn block() -> Self {
        Memory::Block(vec![0; if cfg!(miri) { 1 << 12 } else { 1 << 15 }], 16)
    }

    pub fn base(&self) -> *const u8 {
        match self {
            Memory::Everything => ptr::null(),
            Memory::Block(words, _) => words.as_ptr().cast(),
        }
    }

    pub fn len_bytes(&self) -> u64 {
        match self {
            Memory::Everything => u64::MAX,
            Memory::Block(words, _) => words.len() as u64 * 16,
        }
    }

    pub fn place(&mut self, buffer: &RawBuffer) -> (u32, u64) {
        match self {
            Memory::Everything => (0, buffer.ptr as u64),
            Memory::Block(words, used) => {
                let at = used.next_multiple_of(64);
                *used = at + buffer.len_bytes as usize;
                assert!(*used <= words.len() * 16, "grow the test's block");
                // SAFETY: the buffer was measured, the block has room.
                unsafe {
                    let to = words.as_mut_ptr().cast::<u8>().add(at);
                    buffer.ptr.copy_to_nonoverlapping(to, buffer.len_bytes as usize);
                }
                (0, at as u64)
            }
        }
    }
}

/// What publish writes for these batches.
pub fn encode(schema: &Schema, batches: &[PlacedBatch]) -> Vec<u8> {
    let draft = Draft { name: "a table", schema, regions: &[HOME], batches };
    let extents = [0x4000, 0x8000];
    let mut bytes = vec![0xAA; draft.encoded_len(extents.len()).unwrap()];
    draft.encode_into(&mut bytes, &extents, 7, 99).unwrap();
    bytes
}

/// Publishes batches of one schema into `memory` and opens them.
pub fn publish(
    schema: &SchemaRef,
    batches: &[ArrayData],
    memory: &mut Memory,
    owner: Arc<dyn Any + Send + Sync>,
) -> Arc<Export> {
    let schema = take_schema(schema);
    let placed: Vec<_> = batches
        .iter()
        .map(|batch| {
            let lent = lend(batch);
            take_shape(&schema, &lent).unwrap().place(|buffer| Ok(memory.place(buffer))).unwrap()
        })
        .collect();
    open(&encode(&schema, &placed), memory, owner)
}

pub fn open(bytes: &[u8], memory: &Memory, owner: Arc<dyn Any + Send + Sync>) -> Arc<Export> {
    let descriptor = Arc::new(Descriptor::parse(bytes, |_, _, _| Ok(())).unwrap());
    assert_eq!((descriptor.slot(), descriptor.generation(), descriptor.next_retired()), (7, 99, 0));
    assert_eq!(descriptor.name(), "a table");
    assert_eq!(descriptor.regions().collect::<Vec<_>>(), [HOME]);
    assert_eq!(descriptor.extents().collect::<Vec<_>>(), [0x4000, 0x8000]);
    // SAFETY: the memory outlives the exports in these tests.
    Arc::new(unsafe { Export::new(descriptor, vec![memory.base()], Arc::new(Keep(owner))) }.unwrap())
}

/// Whatever a test wants to see dropped with the last array.
struct Keep(#[expect(dead_code, reason = "kept")] Arc<dyn Any + Send + Sync>);

impl csm::table::arrive::Arrive for Keep {}

/// What arrow-rs reads of an exported batch.
pub fn import(schema: ArrowSchema, array: ArrowArray) -> ArrayData {
    let schema = to_ffi_schema(schema);
    // SAFETY: this crate obeys the interface.
    unsafe { arrow_array::ffi::from_ffi(to_ffi(array), &schema) }.unwrap()
}

/// The addresses of all buffers that have bytes. The one offset of no rows has no place of its own.
pub fn addresses(data: &ArrayData) -> Vec<(*const u8, usize)> {
    let own = data.nulls().map(|n| n.buffer()).into_iter().chain(data.buffers());
    own.filter(|b| !b.is_empty() && data.len() + data.offset() != 0)
        .map(|b| (b.as_ptr(), b.len()))
        .chain(data.child_data().iter().flat_map(addresses))
        .collect()
}
