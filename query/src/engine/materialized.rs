//! A view that is worked out once for a statement, however often the statement reads it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect_partitioned};
use tokio::sync::OnceCell;

/// Keeps the rows of a view in memory from the first read on. For views that are far smaller than what they are made
/// from, in statements that read them again and again: DataFusion works a view out anew at each mention, and at each turn
/// of a recursive query.
pub struct Kept {
    plan: LogicalPlan,
    schema: SchemaRef,
    rows: OnceCell<MemTable>,
}

impl Kept {
    /// The view that `plan` works out. Reads nothing yet.
    pub fn new(plan: LogicalPlan) -> Self {
        // The rows may say more exactly than the plan what can be null.
        let nullable = |f: &Arc<Field>| f.as_ref().clone().with_nullable(true);
        let fields: Vec<Field> = plan.schema().fields().iter().map(nullable).collect();
        Kept {
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

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({:?})", self.schema)
    }
}

#[async_trait::async_trait]
impl TableProvider for Kept {
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
