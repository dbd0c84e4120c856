// SPDX-License-Identifier: Apache-2.0
// Layers on disk as adapters of their type, ours and a user's own.

#include "../../examples/scaled_identity.hpp"
#include "support.hpp"

using namespace lorma_tests;

TEST_CASE("a layer becomes the adapter that its names say, and the layer again") {
  const ScratchDirectory directory;
  const Matrix<double> W0 = weight<double>(6, 6, 3);
  LormaAdapter written;
  for (const auto* inflation : {"Identity", "CyclicPermutation", "None"}) {
    for (const auto* side : {"Pre", "Post"}) {
      written.layers.push_back(layer(std::string(inflation) + side, 6, 2, inflation, side));
    }
  }
  lorma::write_lorma_adapter(directory.path() / "adapter", written);
  std::size_t seen = 0;
  for (const LormaLayer& l : lorma::read_lorma_adapter(directory.path() / "adapter").layers) {
    lorma::visit_layer<double>(l, [&](const auto& adapter) {
      using A = std::remove_cvref_t<decltype(adapter)>;
      CHECK(std::string(A::Inflation::name) + std::string(A::Side::name) == l.weight);
      CHECK(adapter.merge(W0) == expected(l, W0));
      const LormaLayer back = lorma::layer_of(adapter, l.weight);
      CHECK(back.inflation == l.inflation);
      CHECK(back.side == l.side);
      CHECK(back.B == l.B);
      CHECK(back.A == l.A);
      CHECK(back.alpha == l.alpha);
      ++seen;
    });
  }
  CHECK(seen == 6);
}

TEST_CASE("an inflation of one's own is saved and loaded") {
  using Mine = lorma_examples::ScaledIdentity<90>;
  using List = lorma::TypeList<lorma::Identity, Mine>;
  const ScratchDirectory directory;
  const fs::path p = directory.path() / "adapter";
  lorma::Adapter<float, Mine, lorma::Auto, lorma::Post> adapter(5, 2, 4.0F);
  adapter.set_factors(random_matrix<float>(5, 2, 1), random_matrix<float>(2, 5, 2));
  LormaAdapter written;
  written.layers = {lorma::layer_of(adapter, "m.weight"),
                    layer("o.weight", 6, 2, "Identity", "Pre")};
  // Who does not know it says so, and writes nothing.
  CHECK_THROWS_WITH_AS(lorma::write_lorma_adapter(p, written), doctest::Contains("ScaledIdentity"),
                       lorma::FormatError);
  CHECK_FALSE(fs::exists(p));
  lorma::write_lorma_adapter(p, written, lorma::names_in<List>);
  CHECK_THROWS_WITH_AS(lorma::read_lorma_adapter(p),
                       doctest::Contains("one of Identity, CyclicPermutation, None"),
                       lorma::FormatError);
  const LormaAdapter read = lorma::read_lorma_adapter(p, lorma::names_in<List>);
  REQUIRE(read.layers.size() == 2);
  const Matrix<float> W0 = weight<float>(7, 5, 3);
  for (const LormaLayer& l : read.layers) {
    if (l.inflation != "ScaledIdentity") continue;
    Matrix<float> merged;
    lorma::visit_layer<float, List>(l, [&](const auto& same) {
      if (same.dim() == 5) merged = same.merge(W0);
    });
    CHECK(merged == adapter.merge(W0));
  }
}
