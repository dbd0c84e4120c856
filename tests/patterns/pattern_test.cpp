// SPDX-License-Identifier: Apache-2.0
// Expressions mean what they mean to Python, or are refused; hostile ones end.

#include <doctest/doctest.h>

#include <fstream>
#include <lorma/patterns/pattern.hpp>
#include <nlohmann/json.hpp>
#include <set>

using lorma::Pattern;

TEST_CASE("the verdicts of Python's re, and refused where it refuses") {
  std::ifstream stream(LORMA_TEST_DATA_DIR "/patterns/verdicts.json");
  const auto table = nlohmann::json::parse(stream);
  const auto names = table["names"].get<std::vector<std::string>>();
  // Read by Python, and refused here, in words.
  const std::set<std::string> refused = {"[[:alpha:]]",          R"(\u0071)", "(?x) q",
                                         "(a)?(?(1)b|c)",        R"(\101)",   "(?a:q)",
                                         R"([\a-\b]{0,0}(?s:.))"};
  int compared = 0;
  for (const auto& row : table["expressions"]) {
    const auto expression = row[0].get<std::string>();
    CAPTURE(expression);
    if (row[1].is_null() || refused.contains(expression)) {
      CHECK_THROWS_WITH_AS(Pattern(expression, "here"),
                           doctest::Contains("here: expected a regular expression of Python's"),
                           lorma::FormatError);
      continue;
    }
    Pattern pattern(expression);
    for (std::size_t i = 0; i < names.size(); ++i) {
      CAPTURE(names[i]);
      try {
        const bool whole = pattern.matches(names[i]);
        const bool part = pattern.finds(names[i]);
        CHECK(whole == row[1][i][0].get<bool>());
        CHECK(part == row[1][i][1].get<bool>());
        ++compared;
      } catch (const lorma::FormatError& error) {  // only where the two may disagree
        CHECK(std::string(error.what()).find("a name in ASCII") != std::string::npos);
        CHECK(names[i] == "\xc2\x85");
      }
    }
  }
  CHECK(compared > 1900);
}

TEST_CASE("hostile expressions and names end with a line or an error") {
  const std::string letters(40, 'a');
  CHECK_THROWS_WITH_AS(Pattern("(a+)+$").finds(letters + "!"), doctest::Contains("fewer steps"),
                       lorma::FormatError);
  CHECK_THROWS_AS(Pattern("(a|a)*").matches(letters + "!"), lorma::FormatError);
  CHECK_THROWS_AS(Pattern(R"((a*)*\1$)").finds(letters + "!"), lorma::FormatError);
  const std::string endless(200000, 'a');
  CHECK(Pattern(".*").finds(endless));
  CHECK(Pattern(".*").matches(endless));
  CHECK(Pattern("a+").matches(endless));
  for (const char* expression : {"(a+)+$", "(?:a|b)*c", "(a|b)*", "a*b", "[^b]*bc", "(.)*(.)*x"}) {
    CAPTURE(expression);
    try {
      Pattern pattern(expression);
      static_cast<void>(pattern.finds(endless));
      static_cast<void>(pattern.matches(endless));
    } catch (const lorma::FormatError&) {
    }
  }
  // Expressions that would grow, and nest, without end.
  CHECK_THROWS_AS(Pattern("((((((a{100}){100}){100}){100}){100}){100})"), lorma::FormatError);
  CHECK_THROWS_AS(Pattern(std::string(10000, '(') + std::string(10000, ')')), lorma::FormatError);
  CHECK_THROWS_AS(Pattern(std::string(100000, 'a')), lorma::FormatError);
  CHECK_THROWS_AS(Pattern("a{70000}"), lorma::FormatError);
  CHECK_THROWS_AS(Pattern("\xff"), lorma::FormatError);
  CHECK_THROWS_AS(Pattern(".*").finds("\xff"), lorma::FormatError);
}

TEST_CASE("the steps of all names together grow with their number alone") {
  Pattern pattern("(a+)+$");
  const std::string costly = std::string(16, 'a') + '!';  // tens of thousands of steps
  CHECK_THROWS_AS(
      [&] {
        for (int i = 0; i < 100000; ++i) static_cast<void>(pattern.finds(costly));
      }(),
      lorma::FormatError);
  Pattern cheap("layers\\.\\d+\\.(q|v)_proj");
  for (int i = 0; i < 20000; ++i) {
    CHECK(cheap.finds("model.layers." + std::to_string(i) + ".q_proj"));
  }
}

TEST_CASE("letters beyond ASCII are letters; classes of them are left open") {
  CHECK(Pattern("caf\xc3\xa9").matches("caf\xc3\xa9"));
  CHECK(Pattern("caf.").matches("caf\xc3\xa9"));
  CHECK_THROWS_WITH_AS(Pattern("caf\\w").matches("caf\xc3\xa9"), doctest::Contains("ASCII"),
                       lorma::FormatError);
}
