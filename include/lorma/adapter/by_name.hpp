// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ADAPTER_BY_NAME_HPP
#define LORMA_ADAPTER_BY_NAME_HPP

/// The one place where names from a command line or a file become adapter types.
///
///   lorma::visit_adapter<float>({.inflation = "CyclicPermutation", .side = "Pre"}, [&](auto type)
///   {
///     using Adapter = typename decltype(type)::type;
///     Adapter adapter(n, r, alpha);
///   });
/// The function is instantiated for every possible combination: keep it small, or pass shorter
/// lists to fix what is known.

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "lorma/adapter/compiled.hpp"

namespace lorma::inline LORMA_ABI {

/// Names of an adapter's policies.
struct AdapterNames {
  std::string_view inflation = "Identity";
  std::string_view order = "Auto";
  std::string_view side = "Pre";
};

template <typename... T>
struct TypeList {};

/// The inflations and orders that come with lorma.
using AllInflations = TypeList<Identity, CyclicPermutation, None>;
using AllOrders = TypeList<Auto, ActivationFirst<>, WeightFirst<>>;
using AllSides = TypeList<Pre, Post>;

/// Names of policies, in static storage.
using NameList = std::span<const std::string_view>;

namespace detail {

template <typename... T>
constexpr std::array<std::string_view, sizeof...(T)> array_of_names(TypeList<T...>) {
  return {T::name...};
}
template <typename List>
inline constexpr auto stored_names = array_of_names(List{});

inline std::string joined(NameList names) {
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

/// Calls f with the type whose name is `name`; throws Error naming the legal ones.
template <typename... T, typename F>
void visit_name(TypeList<T...>, std::string_view what, std::string_view name, F&& f) {
  bool found = false;
  ((!found && T::name == name ? (found = true, f(std::type_identity<T>{})) : void()), ...);
  if (!found) {
    throw Error("lorma::visit_adapter: expected " + std::string(what) + " to be one of " +
                joined(detail::stored_names<TypeList<T...>>) + ", got \"" +
                std::string(name.substr(0, 60)) + "\"");
  }
}

}  // namespace detail

/// The names of a list: names_in<AllInflations>, or of one with inflations of your own.
template <typename List>
inline constexpr NameList names_in = detail::stored_names<List>;

/// Calls f(std::type_identity<Adapter<S, ...>>{}) for the named policies. Throws Error for a name
/// that is in no list.
template <typename S, typename Inflations = AllInflations, typename Orders = TypeList<Auto>,
          typename Sides = AllSides, typename F>
void visit_adapter(const AdapterNames& names, F&& f) {
  detail::visit_name(Inflations{}, "inflation", names.inflation, [&](auto inflation) {
    detail::visit_name(Orders{}, "order", names.order, [&](auto order) {
      detail::visit_name(Sides{}, "side", names.side, [&](auto side) {
        f(std::type_identity<
            Adapter<S, typename decltype(inflation)::type, typename decltype(order)::type,
                    typename decltype(side)::type>>{});
      });
    });
  });
}

}  // namespace lorma::inline LORMA_ABI

#endif
