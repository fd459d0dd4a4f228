//! One consumer and one producer on librdkafka's C functions, with the options of bench/task.py.
//!
//! At least once: the positions are committed when all results are confirmed, as in bench/bare.py.
use crate::model::fail;
use rdkafka_sys::rd_kafka_resp_err_t::{self as error, RD_KAFKA_RESP_ERR_NO_ERROR as OK};
use rdkafka_sys::{self as sys, rd_kafka_type_t as kind};
use std::ffi::{CStr, CString, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

const BATCH: usize = 2_000;
const POLL_EVERY: usize = 500;
const POLL_MILLISECONDS: i32 = 100;
const CONFIRM_MILLISECONDS: i32 = 60_000;
const ANY_PARTITION: i32 = -1;
static UNDELIVERED: AtomicBool = AtomicBool::new(false);

pub struct Clients {
    consumer: *mut sys::rd_kafka_t,
    queue: *mut sys::rd_kafka_queue_t,
    producer: *mut sys::rd_kafka_t,
    scores: *mut sys::rd_kafka_topic_t,
    patients: CString,
    messages: Vec<*mut sys::rd_kafka_message_t>,
    /// The next offset of each partition, -1 if there is none to commit.
    positions: Vec<i64>,
}

unsafe extern "C" fn delivered(_: *mut sys::rd_kafka_t, message: *const sys::rd_kafka_message_t, _: *mut c_void) {
    if unsafe { (*message).err } != OK {
        UNDELIVERED.store(true, Ordering::Relaxed);
    }
}

fn check(done: error, what: &str) {
    if done != OK {
        fail(&format!("{what}: {}", unsafe { CStr::from_ptr(sys::rd_kafka_err2str(done)) }.to_string_lossy()));
    }
}

fn text(value: &str) -> CString {
    CString::new(value).unwrap()
}

unsafe fn client(kind: kind, options: &[(&str, &str)]) -> *mut sys::rd_kafka_t {
    let mut reason = [0; 512];
    let said = |reason: &[_]| unsafe { CStr::from_ptr(reason.as_ptr()) }.to_string_lossy().into_owned();
    unsafe {
        let conf = sys::rd_kafka_conf_new();
        for (name, value) in options {
            let (name, value) = (text(name), text(value));
            let done = sys::rd_kafka_conf_set(conf, name.as_ptr(), value.as_ptr(), reason.as_mut_ptr(), reason.len());
            if done != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                fail(&said(&reason));
            }
        }
        if kind == kind::RD_KAFKA_PRODUCER {
            sys::rd_kafka_conf_set_dr_msg_cb(conf, Some(delivered));
        }
        let made = sys::rd_kafka_new(kind, conf, reason.as_mut_ptr(), reason.len());
        if made.is_null() { fail(&said(&reason)) } else { made }
    }
}

impl Clients {
    pub fn new(servers: &str, group: &str, patients: &str, scores: &str) -> Clients {
        let consumer_options = [
            ("bootstrap.servers", servers),
            ("log_level", "2"),
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("fetch.queue.backoff.ms", "10"),
            ("queued.max.messages.kbytes", "32768"),
        ];
        let linger = std::env::var("HEARTSTREAM_KAFKA__OPTIONS__LINGER_MS").unwrap_or("5".to_owned());
        let producer_options = [
            ("bootstrap.servers", servers),
            ("log_level", "2"),
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("compression.type", "lz4"),
            ("linger.ms", linger.as_str()),
            ("partitioner", "murmur2_random"),
            ("queue.buffering.max.messages", "200000"),
            ("delivery.report.only.error", "true"),
        ];
        let patients = text(patients);
        unsafe {
            let consumer = client(kind::RD_KAFKA_CONSUMER, &consumer_options);
            sys::rd_kafka_poll_set_consumer(consumer);
            let topics = sys::rd_kafka_topic_partition_list_new(1);
            sys::rd_kafka_topic_partition_list_add(topics, patients.as_ptr(), ANY_PARTITION);
            check(sys::rd_kafka_subscribe(consumer, topics), "subscribe");
            sys::rd_kafka_topic_partition_list_destroy(topics);
            let producer = client(kind::RD_KAFKA_PRODUCER, &producer_options);
            let scores = sys::rd_kafka_topic_new(producer, text(scores).as_ptr(), std::ptr::null_mut());
            let queue = sys::rd_kafka_queue_get_consumer(consumer);
            let (messages, positions) = (vec![std::ptr::null_mut(); BATCH], Vec::new());
            Clients { consumer, queue, producer, scores, patients, messages, positions }
        }
    }

    /// Take what is there, up to 2,000 records, and produce what `result` appends for each, with the record's key.
    pub fn transfer(&mut self, mut result: impl FnMut(&[u8], i32, i64, &mut Vec<u8>)) {
        let mut out = Vec::with_capacity(4096);
        let count = unsafe { self.take() };
        for place in 0..count {
            unsafe {
                let message = &*self.messages[place];
                check(message.err, "consume");
                out.clear();
                let value = match message.payload.is_null() {
                    true => &[],
                    false => std::slice::from_raw_parts(message.payload as *const u8, message.len),
                };
                result(value, message.partition, message.offset, &mut out);
                self.produce(&out, message);
                let partition = message.partition as usize;
                if self.positions.len() <= partition {
                    self.positions.resize(partition + 1, -1);
                }
                self.positions[partition] = message.offset + 1;
                sys::rd_kafka_message_destroy(self.messages[place]);
            }
            if place % POLL_EVERY == POLL_EVERY - 1 {
                unsafe { sys::rd_kafka_poll(self.producer, 0) };
            }
        }
        unsafe { sys::rd_kafka_poll(self.producer, 0) };
    }

    /// Wait for the first message, and take what is there without waiting for more.
    unsafe fn take(&mut self) -> usize {
        unsafe {
            self.messages[0] = sys::rd_kafka_consumer_poll(self.consumer, POLL_MILLISECONDS);
            if self.messages[0].is_null() {
                return 0;
            }
            let room = &mut self.messages[1..];
            let more = sys::rd_kafka_consume_batch_queue(self.queue, 0, room.as_mut_ptr(), room.len());
            1 + more.max(0) as usize
        }
    }

    unsafe fn produce(&self, value: &[u8], of: &sys::rd_kafka_message_t) {
        let (payload, size, unassigned) = (value.as_ptr() as *mut c_void, value.len(), ANY_PARTITION);
        let (copy, none) = (sys::RD_KAFKA_MSG_F_COPY as i32, std::ptr::null_mut());
        unsafe {
            while sys::rd_kafka_produce(self.scores, unassigned, copy, payload, size, of.key, of.key_len, none) != 0 {
                match sys::rd_kafka_last_error() {
                    error::RD_KAFKA_RESP_ERR__QUEUE_FULL => sys::rd_kafka_poll(self.producer, 10),
                    other => return check(other, "produce"),
                };
            }
        }
    }

    /// Wait until all is confirmed, and commit it.
    pub fn commit(&mut self) {
        unsafe {
            check(sys::rd_kafka_flush(self.producer, CONFIRM_MILLISECONDS), "flush");
            if UNDELIVERED.load(Ordering::Relaxed) {
                fail("a result was not delivered");
            }
            let list = sys::rd_kafka_topic_partition_list_new(self.positions.len() as i32);
            for (partition, position) in self.positions.iter_mut().enumerate().filter(|(_, position)| **position >= 0) {
                let entry = sys::rd_kafka_topic_partition_list_add(list, self.patients.as_ptr(), partition as i32);
                (*entry).offset = std::mem::replace(position, -1);
            }
            if (*list).cnt > 0 {
                check(sys::rd_kafka_commit(self.consumer, list, 0), "commit");
            }
            sys::rd_kafka_topic_partition_list_destroy(list);
        }
    }

    pub fn close(&self) {
        unsafe { sys::rd_kafka_consumer_close(self.consumer) };
    }
}
