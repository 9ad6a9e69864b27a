//! Rows of a source whose columns still have their former names.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::load::{Feed, Unit};

/// A feed whose columns are read by their present names.
pub(super) struct Renamed {
    feed: Arc<dyn Feed>,
    /// Present names by former ones.
    names: BTreeMap<String, String>,
}

impl Renamed {
    /// The feed by present names; the feed itself where there are no others.
    pub(super) fn over(feed: Arc<dyn Feed>, names: BTreeMap<String, String>) -> Arc<dyn Feed> {
        if names.is_empty() { feed } else { Arc::new(Self { feed, names }) }
    }

    fn renamed(&self, schema: &Schema) -> SchemaRef {
        let has = |name: &String| schema.field_with_name(name).is_ok();
        let fields = schema.fields().iter().map(|field| match self.names.get(field.name()) {
            Some(name) if !has(name) => Arc::new(field.as_ref().clone().with_name(name)),
            Some(_) | None => Arc::clone(field),
        });
        Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
    }
}

impl Feed for Renamed {
    fn schema(&self) -> SchemaRef {
        self.renamed(&self.feed.schema())
    }

    fn units(&self) -> usize {
        self.feed.units()
    }

    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        self.feed.read(unit, &mut |batch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let schema = self.renamed(&batch.schema());
            let batch = RecordBatch::try_new_with_options(schema, batch.columns().to_vec(), &options)
                .map_err(|e| Error::internal("a batch cannot take its columns' present names").because(e))?;
            sink(batch)
        })
    }

    fn origin(&self, unit: Unit) -> Option<(SchemaRef, u64)> {
        self.feed.origin(unit).map(|(schema, rows)| (self.renamed(&schema), rows))
    }

    fn name(&self, unit: Unit) -> Option<&str> {
        self.feed.name(unit)
    }
}
