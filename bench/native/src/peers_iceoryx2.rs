//! iceoryx2's blackboard, in a root directory of this run's.

use std::path::Path;

use iceoryx2::port::reader::{EntryHandle, Reader};
use iceoryx2::port::writer::{EntryHandleMut, Writer};
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::blackboard::PortFactory;

use crate::measure::{KEY_BYTES, Step, key};
use crate::peers::Peer;

type Key = [u8; KEY_BYTES];

/// A node that leaves signals to us, and everything it makes to a directory.
pub fn node(root: &Path) -> Node<ipc::Service> {
    let mut config = Config::default();
    let path = root.to_str().expect("a path of plain letters");
    config.global.set_root_path(&path.try_into().expect("a short path"));
    NodeBuilder::new()
        .config(&config)
        .signal_handling_mode(SignalHandlingMode::Disabled)
        .create()
        .expect("a node")
}

/// A service's name. Its shared memory is not below the root directory: no other run is to meet it.
pub fn name(root: &Path) -> ServiceName {
    let text = root.to_str().expect("a path of plain letters");
    text.try_into().expect("a short name")
}

fn step(number: usize) -> Key {
    key('a', number)
}

/// One that writes and reads by handles.
pub struct Blackboard<const N: usize> {
    readers: Vec<EntryHandle<ipc::Service, Key, [u8; N]>>,
    writers: Vec<EntryHandleMut<ipc::Service, Key, [u8; N]>>,
    _reader: Reader<ipc::Service, Key>,
    _writer: Option<Writer<ipc::Service, Key>>,
    service: PortFactory<ipc::Service, Key>,
    _node: Node<ipc::Service>,
}

impl<const N: usize> Blackboard<N> {
    /// Makes one that has all its keys, as it must.
    pub fn create(root: &Path, keys: usize) -> Self {
        let node = node(root);
        let mut creator = node.service_builder(&name(root)).blackboard_creator::<Key>();
        for number in 0..keys {
            creator = creator.add::<[u8; N]>(step(number), [7; N]);
        }
        let service = creator.create().expect("a blackboard");
        Self::with(node, service, keys)
    }

    /// Opens what another process has made.
    pub fn open(root: &Path, keys: usize) -> Self {
        let node = node(root);
        let opener = node.service_builder(&name(root)).blackboard_opener::<Key>();
        let service = opener.open().expect("a blackboard");
        Self::with(node, service, keys)
    }

    fn with(node: Node<ipc::Service>, service: PortFactory<ipc::Service, Key>, keys: usize) -> Self {
        let reader = service.reader_builder().create().expect("a reader");
        let entry = |number| reader.entry(&step(number)).expect("an entry");
        Self {
            readers: (0..keys).map(entry).collect(),
            writers: Vec::new(),
            _reader: reader,
            _writer: None,
            service,
            _node: node,
        }
    }

    /// There is one at a time.
    #[must_use]
    pub fn writing(mut self) -> Self {
        let writer = self.service.writer_builder().create().expect("the writer");
        let entry = |number| writer.entry(&step(number)).expect("an entry");
        self.writers = (0..self.readers.len()).map(entry).collect();
        self._writer = Some(writer);
        self
    }
}

impl<const N: usize> Peer for Blackboard<N> {
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool {
        into.copy_from_slice(&*self.readers[step.number as usize].get());
        true
    }

    fn set(&mut self, step: &Step, value: &[u8]) {
        let value = value.try_into().expect("values of one length");
        self.writers[step.number as usize].update_with_copy(value);
    }

    fn unset(&mut self, _: &Step) -> bool {
        unreachable!("a blackboard keeps its keys")
    }

    fn list(&mut self) -> usize {
        self.readers.len()
    }
}

/// Asked by the key each time.
pub struct BlackboardLookup<const N: usize>(Reader<ipc::Service, Key>);

impl<const N: usize> BlackboardLookup<N> {
    pub fn open(blackboard: &Blackboard<N>) -> Self {
        Self(blackboard.service.reader_builder().create().expect("a reader"))
    }
}

impl<const N: usize> Peer for BlackboardLookup<N> {
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool {
        let entry = self.0.entry::<[u8; N]>(&step.key).expect("an entry");
        into.copy_from_slice(&*entry.get());
        true
    }

    fn set(&mut self, _: &Step, _: &[u8]) {
        unreachable!("only asked")
    }

    fn unset(&mut self, _: &Step) -> bool {
        unreachable!("a blackboard keeps its keys")
    }

    fn list(&mut self) -> usize {
        unreachable!("only asked")
    }
}
