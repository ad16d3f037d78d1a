//! Kinds of joins.

use datafusion::sql::sqlparser::ast::{JoinConstraint, JoinOperator, TableFactor, TableWithJoins};

/// Returns whether any of the joins merges columns.
pub(super) fn has_merging(from: &TableWithJoins) -> bool {
    let nested = |table: &TableFactor| match table {
        TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } => has_merging(table_with_joins),
        _ => false,
    };
    nested(&from.relation)
        || from.joins.iter().any(|join| {
            let kind = kind(&join.join_operator);
            kind.is_some_and(|(_, constraint)| is_merging(constraint)) || nested(&join.relation)
        })
}

/// Returns whether a constraint merges columns.
pub(in crate::engine::statement) fn is_merging(constraint: &JoinConstraint) -> bool {
    matches!(
        constraint,
        JoinConstraint::Using(_) | JoinConstraint::Natural
    )
}

/// The rows and columns that a join preserves.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::engine::statement) enum Kind {
    /// Inner and left joins.
    Left,
    Right,
    Full,
    /// Joins whose answer has the columns of the left table alone.
    OnlyLeft,
    OnlyRight,
}

/// Returns the kind and the constraint of a join; `None`: the join has no constraint that could merge columns.
pub(in crate::engine::statement) fn kind(
    operator: &JoinOperator,
) -> Option<(Kind, &JoinConstraint)> {
    Some(match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => (Kind::Left, constraint),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            (Kind::Right, constraint)
        }
        JoinOperator::FullOuter(constraint) => (Kind::Full, constraint),
        JoinOperator::LeftSemi(constraint) | JoinOperator::LeftAnti(constraint) => {
            (Kind::OnlyLeft, constraint)
        }
        JoinOperator::RightSemi(constraint) | JoinOperator::RightAnti(constraint) => {
            (Kind::OnlyRight, constraint)
        }
        _ => return None,
    })
}

/// Returns the constraint of a join that has a [`kind`], to be replaced.
pub(super) fn constraint_of(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}
