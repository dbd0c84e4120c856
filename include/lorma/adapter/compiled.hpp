// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ADAPTER_COMPILED_HPP
#define LORMA_ADAPTER_COMPILED_HPP

/// What lorma::compiled holds of adapters: those of our inflations and both sides, of the order
/// Auto and the backend EigenCpu, in float and double, with the verbs behind the door.
///
/// With LORMA_COMPILED, which the target lorma::compiled defines, they are linked; everything else
/// stays a template. src/adapter_*.cpp instantiate them, a file an inflation. Whoever links needs
/// the LORMA_ABI that the library was compiled with.

#include "lorma/adapter/adapter.hpp"

/// `linkage` is `extern template` or `template`.
#define LORMA_COMPILED_WEIGHT(linkage, S, Inflation, Side, T)             \
  linkage struct detail::Merge<S, Inflation, Auto, Side, EigenCpu, T, T>; \
  linkage struct detail::Unmerge<S, Inflation, Side, EigenCpu, T>;

#define LORMA_COMPILED_SIDE(linkage, S, Inflation, Side)                               \
  linkage struct detail::Forward<S, Inflation, Auto, Side, EigenCpu,                   \
                                 detail::EntriesWeight<EigenCpu, S>>;                  \
  linkage struct detail::Backward<S, Inflation, Auto, Side, EigenCpu,                  \
                                  detail::EntriesWeight<EigenCpu, S>>;                 \
  LORMA_COMPILED_WEIGHT(linkage, S, Inflation, Side, S)                                \
  linkage class AdapterView<S, Inflation, Auto, Side, EigenCpu>;                       \
  linkage class AdapterView<S, Inflation, Auto, Side, EigenCpu, detail::OwnedFactors>; \
  linkage class Adapter<S, Inflation, Auto, Side, EigenCpu>;                           \
  LORMA_COMPILED_VERBS(linkage, S, Inflation, Side, detail::BorrowedFactors)           \
  LORMA_COMPILED_VERBS(linkage, S, Inflation, Side, detail::OwnedFactors)

/// The verbs on matrices of our own type.
#define LORMA_COMPILED_VERBS(linkage, S, Inflation, Side, Storage)                                \
  linkage void AdapterView<S, Inflation, Auto, Side, EigenCpu, Storage>::run_forward(             \
      Matrix<S>&, const Matrix<S>&, const Matrix<S>&, lorma::Workspace&, BasicTape<S, EigenCpu>*) \
      const;                                                                                      \
  linkage void AdapterView<S, Inflation, Auto, Side, EigenCpu, Storage>::backward_into(           \
      Matrix<S>&, Matrix<S>&, Matrix<S>&, const Matrix<S>&, const Matrix<S>&,                     \
      BasicTape<S, EigenCpu>&, bool) const;                                                       \
  linkage void AdapterView<S, Inflation, Auto, Side, EigenCpu, Storage>::merge_into(              \
      Matrix<S>&, const Matrix<S>&, lorma::Workspace&, Finiteness) const;

#define LORMA_COMPILED_INFLATION(linkage, Inflation)                     \
  linkage struct detail::ActionOfP<float, Inflation, Auto, EigenCpu>;    \
  linkage struct detail::ActionOfP<double, Inflation, Auto, EigenCpu>;   \
  LORMA_COMPILED_SIDE(linkage, float, Inflation, Pre)                    \
  LORMA_COMPILED_SIDE(linkage, float, Inflation, Post)                   \
  LORMA_COMPILED_SIDE(linkage, double, Inflation, Pre)                   \
  LORMA_COMPILED_SIDE(linkage, double, Inflation, Post)                  \
  LORMA_COMPILED_WEIGHT(linkage, float, Inflation, Pre, Eigen::half)     \
  LORMA_COMPILED_WEIGHT(linkage, float, Inflation, Post, Eigen::half)    \
  LORMA_COMPILED_WEIGHT(linkage, float, Inflation, Pre, Eigen::bfloat16) \
  LORMA_COMPILED_WEIGHT(linkage, float, Inflation, Post, Eigen::bfloat16)

/// What all of them share.
#define LORMA_COMPILED_SHARED(linkage, S)                                                        \
  linkage class detail::BorrowedFactors<S, EigenCpu>;                                            \
  linkage struct detail::OwnedFactors<S, EigenCpu>;                                              \
  linkage struct detail::TapeStage<S, EigenCpu>;                                                 \
  linkage class BasicTape<S, EigenCpu>;                                                          \
  linkage struct Gradients<S, EigenCpu>;                                                         \
  linkage void Door<EigenCpu>::read(const Factors<S>&);                                          \
  linkage Readable<S> Door<EigenCpu>::read(std::string_view, const Matrix<S>&);                  \
  linkage void detail::check_factors(std::string_view, const Factors<S>&);                       \
  linkage void detail::check_weight<Pre>(std::string_view, std::string_view, const Factors<S>&,  \
                                         Index, Index);                                          \
  linkage void detail::check_weight<Post>(std::string_view, std::string_view, const Factors<S>&, \
                                          Index, Index);                                         \
  linkage void detail::check_finiteness<EigenCpu>(std::string_view, Finiteness, Workspace&,      \
                                                  const Factors<S>&, const MatrixView<const S>&);

#ifdef LORMA_COMPILED
namespace lorma::inline LORMA_ABI {
extern template class BasicWorkspace<HostMemory>;
LORMA_COMPILED_SHARED(extern template, float)
LORMA_COMPILED_SHARED(extern template, double)
LORMA_COMPILED_INFLATION(extern template, Identity)
LORMA_COMPILED_INFLATION(extern template, CyclicPermutation)
LORMA_COMPILED_INFLATION(extern template, None)
}  // namespace lorma::inline LORMA_ABI
#endif

#endif
