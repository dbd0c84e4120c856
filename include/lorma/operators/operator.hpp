// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_OPERATOR_HPP
#define LORMA_OPERATORS_OPERATOR_HPP

/// The n x n operator P = I(BA), and the only three operations that are needed of it.
///
/// Forward, backward and merge of both sides follow from
///   apply          out = P Y
///   apply_adjoint  out = P^T G
///   vjp            gradients of <G, P Y> in Y, A and B
/// for blocks of columns Y, G (n x b). An evaluation is one partial specialization of Operator,
/// written once for all inflations and backends that permit it, or for some.

#include "lorma/backend/cost_rates.hpp"
#include "lorma/core/factors.hpp"

namespace lorma::inline LORMA_ABI {

/// The operations whose cost differs.
enum class Action : unsigned char { apply, vjp };  // apply_adjoint costs what apply does

/// P for fixed factors. Construction prepares what does not depend on Y (Dense: P itself; Spectral:
/// the transforms of A) in `workspace`; the object is valid while that workspace's frame is open.
///
///   Operator(Workspace&, const Factors<S>&)
///   static Index kept_size(n, r, b)      scalars that apply may keep for vjp
///   static Work work(action, n, r, b)    what one call on b columns does, construction included
///   apply(workspace, Y, out, kept)       kept: array of kept_size or null; out may be Y itself
///   apply_adjoint(workspace, G, out)     out may be G itself
///   vjp(workspace, G, Y, kept, dY, dA, dB, accumulate)
///       kept as written by apply(Y), or null; any of dY (n x b, may be G itself), dA (r x n) and
///       dB (n x r) has null data when it is not wanted; dY is overwritten, dA and dB are
///       overwritten, or added to where `accumulate` is true
/// and, where they help,
///   panel()                              columns worth taking at a time in a merge
///   prepare(workspace, b)                makes what apply and apply_adjoint need for b columns
///                                        besides scratch, so that they do not fail for it
/// No member throws after its first write to an output.
template <typename Evaluation, typename Inflation, typename Backend, typename S>
class Operator;

}  // namespace lorma::inline LORMA_ABI

#endif
