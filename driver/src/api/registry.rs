//! What this process has open: one mapping and one membership a region, however often it is opened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::sys::process;
use crate::table::tables::{Regions, Tables};

pub(super) struct Registry {
    open: Mutex<Option<HashMap<[u8; 16], Weak<Tables>>>>,
}

/// The registry of this process.
pub(super) static REGISTRY: Registry = Registry { open: Mutex::new(None) };

/// The registry, locked: while regions are looked up, opened and added.
pub(super) struct Open<'a>(MutexGuard<'a, Option<HashMap<[u8; 16], Weak<Tables>>>>);

impl Registry {
    pub(super) fn lock(&self) -> Open<'_> {
        Open(self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Open<'_> {
    pub(super) fn get(&self, uuid: &[u8; 16]) -> Option<Arc<Tables>> {
        let tables = self.0.as_ref()?.get(uuid)?.upgrade()?;
        // What a forked child inherited is the parent's.
        (tables.forks == process::fork_count()).then_some(tables)
    }

    pub(super) fn add(&mut self, tables: &Arc<Tables>) {
        let map = self.0.get_or_insert_default();
        map.retain(|_, tables| tables.strong_count() > 0);
        map.insert(*tables.uuid.as_bytes(), Arc::downgrade(tables));
    }
}

impl Regions for Registry {
    fn at(&self, address: u64) -> Option<Arc<Tables>> {
        let open: Vec<_> = self.lock().0.as_ref()?.values().filter_map(Weak::upgrade).collect();
        open.into_iter().find(|tables| tables.space.data_off_of(address).is_some())
    }

    fn of(&self, uuid: [u8; 16]) -> Option<Arc<Tables>> {
        self.lock().get(&uuid)
    }
}
