//! The rings between the kernel side and the recorder. With a single ring the CPUs would wait for each other (measured: a
//! call costs four times as much when two CPUs are busy), so each CPU that is online has a ring.
//!
//! The rings are mapped, and records are read in place: a copy would cost time and as much memory again. Two kinds of maps
//! have the same layout: an element of the array with the CPUs' own rings, and a ring buffer of the kernel.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::{io, ptr};

use anyhow::{Context, Result};
use libbpf_rs::MapHandle;
use rustix::param::page_size;

use crate::records::merge::{self, Source};

/// The read position is published after this many bytes. The kernel side reads the position for each record, so more
/// frequent updates would move its cache line back and forth between CPUs.
const PUBLISH_BYTES: u64 = 64 << 10;

/// Layout of include/uapi/linux/bpf.h: each record is preceded by its length, with these two bits, and by four bytes
/// for the kernel's own use. Records in a CPU's own ring have neither bit.
const HEADER_BYTES: u64 = 8;
const BUSY_BIT: u32 = 1 << 31;
const DISCARDED_BIT: u32 = 1 << 30;

/// A mapped ring with the layout of kernel/bpf/ringbuf.c: one page with the read position, one page with the write
/// position, and the data. Behind the data are bytes that a record at its end may continue into: of a ring buffer of the
/// kernel, the data once more.
pub(crate) struct KernelRing {
    consumer_page: *mut libc::c_void,
    /// The page with the write position, followed by the data.
    producer_pages: *mut libc::c_void,
    data: *const u8,
    data_bytes: usize,
    /// The bytes behind the data.
    spare_bytes: usize,
    /// Position of the next record. Positions count bytes from the ring's creation.
    read_pos: u64,
    /// The read position that the kernel side knows.
    published_pos: u64,
    /// The write position at the last [`KernelRing::update`].
    write_pos: u64,
    /// End of the records that [`KernelRing::append_unread`] has copied.
    copied_pos: u64,
    /// Length of the record at `read_pos`, if it is complete.
    record_bytes: Option<usize>,
}

impl KernelRing {
    pub(super) const HEADER_BYTES: usize = HEADER_BYTES as usize;

    /// Maps the ring at the offset `from` of a map, with `bytes` of data and `spare_bytes` behind them. The map stays in
    /// use as long as it is mapped.
    ///
    /// # Errors
    /// There is no address space left.
    pub(super) fn map(
        map: &MapHandle,
        from: usize,
        bytes: usize,
        spare_bytes: usize,
    ) -> Result<KernelRing> {
        let page = page_size();
        // If the second mapping fails, the first is unmapped here: `drop` unmaps both or does not run.
        let consumer_page = map_at(map, libc::PROT_READ | libc::PROT_WRITE, from, page)?;
        let producer_pages = map_at(
            map,
            libc::PROT_READ,
            from + page,
            page + bytes + spare_bytes,
        )
        .inspect_err(|_| {
            // SAFETY: the page was mapped above, and no reference to it exists.
            unsafe { libc::munmap(consumer_page, page) };
        })?;
        Ok(KernelRing {
            consumer_page,
            producer_pages,
            data: producer_pages.cast::<u8>().wrapping_add(page),
            data_bytes: bytes,
            spare_bytes,
            read_pos: 0,
            published_pos: 0,
            write_pos: 0,
            copied_pos: 0,
            record_bytes: None,
        })
    }

    /// Reads the write position. Later records stay for the next update, so that the records of all rings can be put
    /// into one order.
    pub(super) fn update(&mut self) {
        // SAFETY: the page is mapped for the ring's lifetime and begins with the write position.
        let position = unsafe { &*self.producer_pages.cast::<AtomicU64>() };
        self.write_pos = position.load(Ordering::Acquire);
        self.load();
    }

    /// Publishes the read position to the kernel side, which frees the space before it.
    fn publish_position(&mut self) {
        if self.published_pos != self.read_pos {
            self.published_pos = self.read_pos;
            // SAFETY: the page is mapped for the ring's lifetime, begins with the read position, and is writable.
            let position = unsafe { &*self.consumer_page.cast::<AtomicU64>() };
            position.store(self.read_pos, Ordering::Release);
        }
    }

    /// Appends the unread records to `out`, framed, without consuming them. Records of an earlier call are not
    /// repeated.
    pub(crate) fn append_unread(&mut self, out: &mut Vec<u8>) {
        let read_pos = self.read_pos;
        self.read_pos = self.copied_pos.max(read_pos);
        self.load();
        while let Some(record) = self.peek() {
            merge::append_framed(out, record);
            self.skip_record();
        }
        self.copied_pos = self.read_pos;
        self.read_pos = read_pos;
        self.load();
    }

    /// Returns the `bytes` bytes of the record at the read position. They follow the header, also behind the end of the
    /// data. A length beyond what is mapped, which no ring has, is cut.
    fn record(&self, bytes: usize) -> &[u8] {
        let header = self.read_pos as usize & (self.data_bytes - 1);
        let offset = header + Self::HEADER_BYTES;
        let bytes = bytes.min((self.data_bytes + self.spare_bytes).saturating_sub(offset));
        // SAFETY: `offset` and `bytes` lie within the data and what is mapped behind. Between the read and the write
        // position the kernel changes only the flags of headers, and `header` reads these atomically.
        unsafe { std::slice::from_raw_parts(self.data.add(offset), bytes) }
    }

    fn header(&self) -> u32 {
        let offset = self.read_pos as usize & (self.data_bytes - 1);
        // SAFETY: `offset` lies within the data, and records begin at multiples of eight bytes.
        let header = unsafe { &*self.data.add(offset).cast::<AtomicU32>() };
        header.load(Ordering::Acquire)
    }

    /// Finds the record at the read position, past records that the kernel side has discarded. There is none if the
    /// kernel side is still writing it.
    fn load(&mut self) {
        self.record_bytes = None;
        while self.read_pos < self.write_pos {
            let header = self.header();
            if header & BUSY_BIT != 0 {
                return;
            }
            let bytes = (header & !DISCARDED_BIT) as usize;
            if header & DISCARDED_BIT != 0 {
                self.read_pos += record_span(bytes);
                continue;
            }
            self.record_bytes = Some(bytes);
            return;
        }
    }

    fn skip_record(&mut self) {
        if let Some(bytes) = self.record_bytes {
            self.read_pos += record_span(bytes);
            self.load();
        }
    }
}

/// Maps `bytes` bytes of a ring's map from the offset `from`.
fn map_at(map: &MapHandle, access: i32, from: usize, bytes: usize) -> Result<*mut libc::c_void> {
    let fd = map.as_fd().as_raw_fd();
    // SAFETY: the kernel chooses the address, so no existing mapping is replaced.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            access,
            libc::MAP_SHARED,
            fd,
            from as libc::off_t,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error()).context("cannot map a ring");
    }
    Ok(address)
}

/// Returns the number of bytes that a record of `bytes` bytes occupies in the ring.
fn record_span(bytes: usize) -> u64 {
    (bytes as u64 + HEADER_BYTES).next_multiple_of(8)
}

impl Source for KernelRing {
    fn peek(&self) -> Option<&[u8]> {
        let bytes = self.record_bytes?;
        Some(self.record(bytes))
    }

    fn advance(&mut self) {
        self.skip_record();
        if self.read_pos - self.published_pos >= PUBLISH_BYTES {
            self.publish_position();
        }
    }

    fn release(&mut self) {
        self.publish_position();
    }
}

impl Drop for KernelRing {
    fn drop(&mut self) {
        // SAFETY: both were mapped in `map` with these lengths, and no reference to them outlives the ring.
        unsafe {
            libc::munmap(self.consumer_page, page_size());
            libc::munmap(
                self.producer_pages,
                page_size() + self.data_bytes + self.spare_bytes,
            );
        }
    }
}
