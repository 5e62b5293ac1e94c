//! Two processors for the two processes.

use std::fmt;

/// Two processors that this program may use.
#[derive(Clone, Copy)]
pub(crate) struct Two {
    pub(crate) near: usize,
    pub(crate) far: usize,
    /// Whether they are threads of one core; None when the kernel does not say.
    siblings: Option<bool>,
}

impl fmt::Display for Two {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let siblings = match self.siblings {
            Some(true) => "threads of one core",
            Some(false) => "not threads of one core",
            None => "the kernel does not say whether threads of one core",
        };
        write!(f, "processors {} and {}, {siblings}", self.near, self.far)
    }
}

/// The processors that this process may use.
fn allowed() -> Vec<usize> {
    // SAFETY: plain bits, for which zeroes are a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: fills the set.
    let done = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    let most = usize::try_from(libc::CPU_SETSIZE).expect("small");
    // SAFETY: looks at bits of the set.
    (0..most).filter(|processor| unsafe { libc::CPU_ISSET(*processor, &set) }).collect()
}

/// The threads of a processor's core, itself too; None when the kernel does not say.
fn siblings(processor: usize) -> Option<Vec<usize>> {
    let path = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    let text = std::fs::read_to_string(path).ok()?;
    let mut all = Vec::new();
    // Numbers and ranges: 0,64 or 0-1.
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        all.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(all)
}

/// Two processors, of two cores if there are such; None when there is only one.
pub(crate) fn two() -> Option<Two> {
    let allowed = allowed();
    let (&near, others) = allowed.split_first()?;
    let siblings = siblings(near);
    let are_siblings = |far: usize| siblings.as_ref().map(|siblings| siblings.contains(&far));
    let of_another_core = others.iter().find(|far| are_siblings(**far) == Some(false));
    let far = *of_another_core.or(others.first())?;
    Some(Two { near, far, siblings: are_siblings(far) })
}

/// Keeps this process on one processor.
pub(crate) fn stay_on(processor: usize) {
    // SAFETY: plain bits, for which zeroes are a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: sets a bit of the set.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: reads the set.
    let done = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(done, 0, "processor {processor}: {}", std::io::Error::last_os_error());
}
