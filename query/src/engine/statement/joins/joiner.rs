//! Replacing the joins of a `from` clause by joins with `on`.

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, TableFactor, TableWithJoins, VisitMut,
};

use crate::engine::statement::joins::kinds::{Kind, constraint_of, kind};
use crate::engine::statement::joins::merged::{Joined, Merged, Naming, Table, coalesced};
use crate::engine::statement::names::normalized;

/// Joins the tables of a `from` clause one by one.
pub(super) struct Joiner<'a> {
    pub(super) tables: &'a [Table],
    /// Index of the next table.
    pub(super) next: usize,
}

impl Joiner<'_> {
    pub(super) fn join_all(&mut self, from: &mut TableWithJoins) -> Result<Joined> {
        let mut left = self.joined(&mut from.relation)?;
        for join in &mut from.joins {
            let right = self.joined(&mut join.relation)?;
            let kind = kind(&join.join_operator).map(|(kind, _)| kind);
            let (Some(kind), Some(constraint)) = (kind, constraint_of(&mut join.join_operator))
            else {
                left.append(right);
                continue;
            };
            left = self.join(left, right, kind, constraint)?;
        }
        Ok(left)
    }

    fn joined(&mut self, table: &mut TableFactor) -> Result<Joined> {
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } = table
        {
            return self.join_all(table_with_joins);
        }
        let index = self.next;
        self.next += 1;
        Ok(Joined {
            tables: vec![index],
            merged: Vec::new(),
        })
    }

    fn join(
        &self,
        left: Joined,
        right: Joined,
        kind: Kind,
        constraint: &mut JoinConstraint,
    ) -> Result<Joined> {
        let names = match constraint {
            JoinConstraint::Using(names) => {
                let names = names.iter().map(|name| match name.0.as_slice() {
                    [part] => part.as_ident().map(normalized),
                    _ => None,
                });
                match names.collect::<Option<Vec<String>>>() {
                    Some(names) if !names.is_empty() => names,
                    _ => {
                        return plan_err!(
                            "`using` takes names of columns, as in `join t using (pid)`"
                        );
                    }
                }
            }
            JoinConstraint::Natural => self.common(&left, &right)?,
            JoinConstraint::On(condition) => {
                let mut both = left.clone();
                both.append(right.clone());
                let mut naming = Naming {
                    tables: self.tables,
                    joined: &both,
                    depth: 0,
                };
                let _ = VisitMut::visit(condition, &mut naming);
                Vec::new()
            }
            JoinConstraint::None => Vec::new(),
        };
        let mut merged = Vec::new();
        for name in names {
            let (of_left, of_right) = (
                left.merging(self.tables, &name)?,
                right.merging(self.tables, &name)?,
            );
            merged.push((of_left, of_right));
        }
        if let Some(condition) = condition(&merged) {
            *constraint = JoinConstraint::On(condition);
        }
        let mut joined = match kind {
            Kind::OnlyLeft => return Ok(left),
            Kind::OnlyRight => return Ok(right),
            _ => left,
        };
        joined.append(right);
        for (left, right) in merged {
            joined.merged.retain(|merged| {
                let is_same =
                    |other: &Merged| merged.name == other.name && merged.tables == other.tables;
                !is_same(&left) && !is_same(&right)
            });
            let values = match kind {
                Kind::Right => right.values,
                Kind::Full => [left.values, right.values].concat(),
                _ => left.values,
            };
            joined.merged.push(Merged {
                name: left.name,
                values,
                tables: [left.tables, right.tables].concat(),
            });
        }
        Ok(joined)
    }

    /// Returns the names that columns of both sides have.
    fn common(&self, left: &Joined, right: &Joined) -> Result<Vec<String>> {
        let names = |side: &Joined| {
            let columns = side.tables.iter().map(|index| {
                let table = &self.tables[*index];
                table.columns.clone()
            });
            let columns: Option<Vec<Vec<String>>> = columns.collect();
            columns.map(|columns| columns.concat())
        };
        let (Some(left), Some(right)) = (names(left), names(right)) else {
            return plan_err!(
                "`natural join` is not possible here, because the columns of a table depend on other tables: name the common columns, as in `join t using (pid)`"
            );
        };
        let mut common: Vec<String> = Vec::new();
        for name in left {
            if right.contains(&name) && !common.contains(&name) {
                common.push(name);
            }
        }
        if common.is_empty() {
            return plan_err!(
                "the tables of this `natural join` have no column in common: write `cross join`, or `join t on` with a condition"
            );
        }
        Ok(common)
    }
}

/// Returns the condition that the columns of each pair are equal.
fn condition(merged: &[(Merged, Merged)]) -> Option<Expr> {
    let equal = merged.iter().map(|(left, right)| Expr::BinaryOp {
        left: Box::new(coalesced(&left.values)),
        op: BinaryOperator::Eq,
        right: Box::new(coalesced(&right.values)),
    });
    equal.reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })
}
