//! The steps of the protocols: every place where a line is moved, or two accesses to different lines are
//! ordered. Each has a name, so that counts, violations and the tests that leave one out speak of the same thing.

macro_rules! steps {
    ($( $kind:ident { $( $(#[doc = $about:literal])* $name:ident, )* } )*) => {
        /// A step of a protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Step { $($( $(#[doc = $about])* $name, )*)* }

        impl Step {
            /// Every step, and what it is for.
            #[cfg(feature = "test-hooks")]
            pub(crate) const ALL: &'static [(Self, &'static str)] =
                &[$($( (Self::$name, concat!($($about),*)), )*)*];

            /// What can be left out of a step.
            #[cfg(feature = "test-hooks")]
            pub(crate) fn parts(self) -> &'static [Part] {
                match self { $($( Self::$name => parts!($kind), )*)* }
            }
        }
    };
}

#[cfg(feature = "test-hooks")]
macro_rules! parts {
    (release) => {
        &[Part::WriteBack, Part::Fence]
    };
    (start) => {
        &[Part::WriteBack]
    };
    (acquire) => {
        &[Part::Invalidate, Part::Fence]
    };
    (check) => {
        &[Part::Check]
    };
}

/// What a step consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Lines go home.
    WriteBack,
    /// Lines are dropped, so that the next load fetches them.
    Invalidate,
    /// What was started is complete, before any later load or store.
    Fence,
    /// A comparison that protects from acting on what is old.
    Check,
}

steps! {
    release {
        /// The superblock of a new region goes home last of all, before the region has a name.
        SuperblockHome,
        /// The size of the region goes home, after there is memory behind it.
        SizeHome,
        /// The descriptor of a table goes home, before the commit word is stored.
        TableHome,
        /// The news and the commit word go home, before the owner looks for leases.
        NewsHome,
        /// What a dead holder of the lock had stored goes home, before it is built upon.
        HelpHome,
        /// A void mark goes home, before leases are ignored.
        VoidHome,
        /// A lease goes home, before the second look.
        LeaseHome,
        /// The end of a lease goes home, after the last load under it.
        LeaseEndHome,
        /// The end of the leases of a dead process goes home.
        ReapHome,
        /// The end of all that a node's former life left in its zone goes home, before the new incarnation.
        RejoinHome,
        /// Who a member is goes home; at the end, everything of its node's zone.
        MemberHome,
        /// A sign of life goes home.
        BeatHome,
        /// What a user asked for goes home.
        UserHome,
    }
    start {
        /// The commit word that a reader of the owner's node found goes home with its lease, before it is acted upon.
        OpenHelpsHome,
        /// A block of leases goes home with the first lease in it.
        BlockHome,
        /// The commit word goes home with the news.
        CommitHome,
        /// A node's incarnation goes home with the line of its member, before it takes leases.
        IncarnationHome,
        /// The buffers of a table go home with its descriptor, before the commit word is stored.
        BuffersHome,
    }
    acquire {
        /// The superblock is read as it is home.
        SuperblockIn,
        /// The size of the region is read as it is home.
        SizeIn,
        /// The catalog's entry is read as it is home: the first look.
        CommitIn,
        /// The catalog's entry and the void mark are read as they are home, once the lease is: the second look.
        SecondLookIn,
        /// The descriptor is read as it is home, once the lease protects it.
        DescriptorIn,
        /// The buffers are read as they are home.
        DataIn,
        /// Counters are read as they are home.
        NewsIn,
        /// The void mark is read as it is home, after everything that was read under the lease.
        VoidIn,
        /// A node's incarnation is read as it is home, before its leases are.
        IncarnationIn,
        /// The leases are read as they are home.
        LeasesIn,
        /// Members are read as they are home.
        MembersIn,
        /// What a user asked for is read as it is home.
        UserIn,
    }
    check {
        /// The commit word is the same at the second look.
        SecondLook,
        /// This node was not fenced when a lease was taken.
        NotFenced,
        /// The lease is still in its place, and this node was not fenced, after the reading.
        LeaseHolds,
        /// Nobody has a lease on what is reclaimed.
        NobodyReads,
        /// A node that was fenced has no living process when it comes back.
        NobodyLives,
        /// A descriptor is of the generation that the commit word named.
        Generation,
    }
}
