//! iceoryx2: publish-subscribe, polled; and with an event beside it, whose listener sleeps.

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;

use super::{Entry, Link, MOST, Side};

const WHO: &str = "iceoryx2 0.10";

struct Polled {
    _node: Node<ipc::Service>,
    publisher: Publisher<ipc::Service, [u8], ()>,
    subscriber: Subscriber<ipc::Service, [u8], ()>,
}

impl Link for Polled {
    fn send(&mut self, bytes: &[u8]) {
        let sample = self.publisher.loan_slice_uninit(bytes.len()).expect("a sample");
        sample.write_from_slice(bytes).send().expect("send");
    }

    fn receive(&mut self, into: &mut [u8]) {
        let sample = loop {
            match self.subscriber.receive().expect("receive") {
                Some(sample) => break sample,
                None => std::hint::spin_loop(),
            }
        };
        into.copy_from_slice(sample.payload());
    }
}

struct Waited {
    messages: Polled,
    notifier: Notifier<ipc::Service>,
    listener: Listener<ipc::Service>,
}

impl Link for Waited {
    fn send(&mut self, bytes: &[u8]) {
        self.messages.send(bytes);
        self.notifier.notify().expect("notify");
    }

    fn receive(&mut self, into: &mut [u8]) {
        self.listener.blocking_wait(|_| {}).expect("wait");
        self.messages.receive(into);
    }
}

fn polled(side: Side, name: &str) -> Polled {
    let node = NodeBuilder::new().create::<ipc::Service>().expect("node");
    let service = |by: usize| {
        let name = ServiceName::new(&format!("{name}/{by}")).expect("name");
        node.service_builder(&name).publish_subscribe::<[u8]>().open_or_create().expect("service")
    };
    let publisher =
        service(side.sends_by()).publisher_builder().initial_max_slice_len(MOST).create().expect("publisher");
    let subscriber = service(1 - side.sends_by()).subscriber_builder().create().expect("subscriber");
    Polled { _node: node, publisher, subscriber }
}

fn waited(side: Side, name: &str) -> Waited {
    let messages = polled(side, name);
    let event = |by: usize| {
        let name = ServiceName::new(&format!("{name}/event/{by}")).expect("name");
        messages._node.service_builder(&name).event().open_or_create().expect("event")
    };
    let notifier = event(side.sends_by()).notifier_builder().create().expect("notifier");
    let listener = event(1 - side.sends_by()).listener_builder().create().expect("listener");
    Waited { messages, notifier, listener }
}

/// Both links; `name` is of this run alone.
pub(crate) fn entries(side: Side, name: &str) -> Vec<Entry> {
    vec![
        Entry {
            who: WHO,
            how: "polled",
            limit: false,
            answers: true,
            includes: "loan a sample, fill it, send; the receiver polls the subscriber, copies out",
            link: Box::new(polled(side, &format!("{name}/polled"))),
        },
        Entry {
            who: WHO,
            how: "waited for",
            limit: false,
            answers: true,
            includes: "loan a sample, fill it, send, notify; the receiver sleeps on the listener, copies out",
            link: Box::new(waited(side, &format!("{name}/waited"))),
        },
    ]
}
