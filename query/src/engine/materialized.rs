//! A view that is computed once for a statement, however often the statement reads it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect_partitioned};
use tokio::sync::OnceCell;

/// A view whose rows stay in memory after the first read. Useful for views that are far smaller than their sources, in
/// statements that read them repeatedly: DataFusion recomputes a view at each mention, and in each iteration of a recursive
/// query.
pub(crate) struct MaterializedView {
    plan: LogicalPlan,
    schema: SchemaRef,
    rows: OnceCell<MemTable>,
}

impl MaterializedView {
    /// Creates the view that `plan` computes. Reads nothing yet.
    pub(crate) fn new(plan: LogicalPlan) -> Self {
        // The batches may have stricter nullability than the plan.
        let nullable = |f: &Arc<Field>| f.as_ref().clone().with_nullable(true);
        let fields: Vec<Field> = plan.schema().fields().iter().map(nullable).collect();
        MaterializedView {
            plan,
            schema: Arc::new(Schema::new(fields)),
            rows: OnceCell::new(),
        }
    }

    async fn read(&self, session: &dyn Session) -> Result<MemTable> {
        let plan = session.create_physical_plan(&self.plan).await?;
        let partitions = collect_partitioned(plan, session.task_ctx()).await?;
        MemTable::try_new(self.schema.clone(), partitions)
    }
}

impl fmt::Debug for MaterializedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaterializedView({:?})", self.schema)
    }
}

#[async_trait::async_trait]
impl TableProvider for MaterializedView {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.rows.get_or_try_init(|| self.read(session)).await?;
        rows.scan(session, projection, filters, limit).await
    }
}
