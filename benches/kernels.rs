//! The pure kernels by themselves, without files or servers: `cargo bench --bench kernels`.

#![allow(clippy::expect_used)]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::array::{DictionaryArray, types::Int32Type};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use metropulse::history::{Presence, Rules, Run, Statement, assign, derive};
use metropulse::model::{Absent, Zone};
use metropulse::rollup::{Hourly, Measure, Op, Spec};

const ROWS: usize = 1 << 20;
const BATCH_ROWS: usize = 8_192;
const HOUR_MICROS: i64 = 3_600_000_000;
const START_MICROS: i64 = 1_714_521_600_000_000;

/// The n-th number of a fixed random sequence.
fn random(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn batches(is_ordered: bool, id: fn(u64) -> String) -> Vec<RecordBatch> {
    let routes: ArrayRef = Arc::new(StringArray::from_iter_values((0..1_000).map(|n| format!("R{n:05}"))));
    (0..ROWS / BATCH_ROWS)
        .map(|batch| {
            let rows = || (0..BATCH_ROWS).map(move |row| (batch * BATCH_ROWS + row) as u64);
            let keys: Int32Array = rows().map(|n| Some((random(n) % 1_000) as i32)).collect();
            let at = |n: u64| {
                let hours = 18 * HOUR_MICROS;
                let at = if is_ordered { n as i64 * (hours / ROWS as i64) } else { random(n ^ 7) as i64 % hours };
                START_MICROS + at.abs()
            };
            let columns: [(&str, ArrayRef); 4] = [
                ("route_id", Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::clone(&routes)))),
                ("at", Arc::new(TimestampMicrosecondArray::from_iter_values(rows().map(at)))),
                ("speed", Arc::new(Float64Array::from_iter_values(rows().map(|n| random(n ^ 3) as f64 / 1e18)))),
                ("trip_id", Arc::new(StringArray::from_iter_values(rows().map(id)))),
            ];
            RecordBatch::try_from_iter(columns).expect("columns of one length")
        })
        .collect()
}

fn uuid(n: u64) -> String {
    let (a, b) = (random(n / 2), random(n / 2 + (1 << 40)));
    format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", a >> 32, a >> 16 & 0xffff, a & 0xffff, b >> 48, b & 0xffff_ffff_ffff)
}

fn roll(batches: &[RecordBatch], measures: Vec<Measure>) -> RecordBatch {
    let spec =
        Spec { keys: vec!["route_id".into()], time: "at".into(), measures, zone: Zone("UTC".parse().expect("a zone")) };
    let mut rollup = Hourly::new(spec, &batches[0].schema()).expect("a rollup");
    for batch in batches {
        rollup.add(batch).expect("rows that fit");
    }
    rollup.finish().expect("a result")
}

fn measure(name: &str, op: Op, column: Option<&str>) -> Measure {
    Measure { name: name.into(), op, column: column.map(str::to_owned) }
}

type Ids = fn(u64) -> String;

fn rollups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rollup");
    group.throughput(Throughput::Elements(ROWS as u64)).sample_size(20);
    for (name, is_ordered) in [("ordered_1m", true), ("shuffled_1m", false)] {
        let batches = batches(is_ordered, |_| String::new());
        let rows: i64 = batches.iter().map(|b| b.num_rows() as i64).sum();
        assert_eq!(rows, ROWS as i64);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let measures = vec![measure("speed", Op::Avg, Some("speed")), measure("n", Op::Count, None)];
                black_box(roll(&batches, measures))
            });
        });
    }
    let ids: [(&str, Ids); 3] =
        [("uuid_1m", uuid), ("short_1m", |n| format!("T{:09}", n / 2)), ("long_1m", |n| format!("trip/{}", uuid(n)))];
    for (name, id) in ids {
        let batches = batches(true, id);
        group.bench_function(format!("distinct_{name}"), |bencher| {
            bencher.iter(|| black_box(roll(&batches, vec![measure("trips", Op::CountDistinct, Some("trip_id"))])));
        });
    }
    group.finish();
}

fn histories(criterion: &mut Criterion) {
    const DAYS: i64 = 64;
    let rules = Rules {
        columns: 1,
        absent: Absent::Close,
        tracked: 1_u64.into(),
        overwritten: 0_u64.into(),
        active: None,
        type2: true,
    };
    let days: Vec<i64> = (0..DAYS).collect();
    let say = |day: i64| Statement::observed(1_u64.into(), vec![Some((day / 8).to_string().into_boxed_str())].into());
    assert_eq!(say(0).kind, Presence::Observed);
    criterion.bench_function("history/assign_and_derive_64_days_backwards", |bencher| {
        bencher.iter_batched(
            Vec::<Run>::new,
            |mut runs| {
                for day in (0..DAYS).rev() {
                    let next = (day + 1 < DAYS).then_some(day + 1);
                    assign(&mut runs, day, next, Some(say(day)));
                }
                let versions = derive(&runs, &days, &rules).expect("versions");
                assert_eq!(versions.len(), 8);
                versions
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(kernels, rollups, histories);
criterion_main!(kernels);
