// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PATTERNS_PATTERN_HPP
#define LORMA_PATTERNS_PATTERN_HPP

/// Regular expressions for names of modules and tensors, as Python's `re` reads them, by PCRE2.
///
///   Pattern pattern(R"(model\.layers\.\d{1,}\.(?!mlp).*)");
///   pattern.matches("model.layers.0.self_attn.q_proj");   // re.fullmatch
///   pattern.finds("a.model.layers.0.q");                  // re.search
///
/// Expressions and names come from outside: steps, depth and memory of a match are bounded, and the
/// sum of the steps over all names grows with their number alone. A name or an expression beyond
/// the bounds is a FormatError. Cost: proportional to the steps; about a microsecond for a short
/// name.

/// Names of PCRE2 for 8-bit text; a program that includes <pcre2.h> for another width says so
/// first.
#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lorma/core/error.hpp"
#include "lorma/io/message.hpp"
#include "lorma/patterns/python_syntax.hpp"

namespace lorma::inline LORMA_ABI {

/// Move-only; one thread at a time.
class Pattern {
 public:
  /// `where` begins all messages: a file and its field, or an option. Throws FormatError for what
  /// is no expression, for what Python and PCRE2 read differently, and beyond 65536 bytes.
  explicit Pattern(std::string_view expression, std::string where = "")
      : expression_(expression), where_(std::move(where)) {
    if (expression.size() > most_bytes) {
      detail::PythonSyntax::refuse(expression, where_, "longer than 65536 bytes");
    }
    const detail::PythonSyntax syntax(expression, where_);
    is_for_ascii_ = syntax.has_classes();
    const Handle<pcre2_compile_context_8> context(pcre2_compile_context_create_8(nullptr));
    match_context_.reset(pcre2_match_context_create_8(nullptr));
    if (!context || !match_context_) throw std::bad_alloc();
    pcre2_set_newline_8(context.get(), PCRE2_NEWLINE_LF);  // what a dot leaves out
    pcre2_set_match_limit_8(match_context_.get(), most_calls);
    pcre2_set_depth_limit_8(match_context_.get(), most_calls);
    pcre2_set_heap_limit_8(match_context_.get(), most_kibibytes);
    int error = 0;
    PCRE2_SIZE place = 0;
    code_.reset(
        pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(syntax.text().data()), syntax.text().size(),
                        PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT,
                        &error, &place, context.get()));
    if (!code_) detail::PythonSyntax::refuse(expression, where_, words_of(error));
    match_.reset(pcre2_match_data_create_8(1, nullptr));
    if (!match_) throw std::bad_alloc();
  }

  /// Whether it means the whole of the name. Throws FormatError for a name that is no UTF-8, that
  /// takes too many steps, or on whose letters Python and PCRE2 may disagree.
  bool matches(std::string_view name) { return run(name, PCRE2_ANCHORED | PCRE2_ENDANCHORED); }

  /// Whether it means a part of the name. Throws as matches does.
  bool finds(std::string_view name) { return run(name, 0); }

  const std::string& expression() const { return expression_; }

 private:
  struct Free {
    void operator()(pcre2_code_8* p) const { pcre2_code_free_8(p); }
    void operator()(pcre2_match_data_8* p) const { pcre2_match_data_free_8(p); }
    void operator()(pcre2_match_context_8* p) const { pcre2_match_context_free_8(p); }
    void operator()(pcre2_compile_context_8* p) const { pcre2_compile_context_free_8(p); }
  };
  template <typename T>
  using Handle = std::unique_ptr<T, Free>;

  static constexpr std::size_t most_bytes = 65536;
  static constexpr std::uint32_t most_calls = 10'000'000;
  static constexpr std::uint32_t most_kibibytes = 65536;
  static constexpr double most_steps = 4e6;           // of one name: a tenth of a second
  static constexpr double spare_steps = 2e7;          // of all names, beside
  static constexpr double steps_for_each_name = 2e4;  // this many

  /// Steps that are left. An item of the expression is one, and more where it may run along a long
  /// name by itself.
  struct Budget {
    double left;
    double of_an_item;
  };
  static int spend(pcre2_callout_block_8*, void* data) {
    auto& budget = *static_cast<Budget*>(data);
    budget.left -= budget.of_an_item;
    return budget.left < 0.0 ? PCRE2_ERROR_CALLOUT : 0;
  }

  static std::string words_of(int error) {
    std::array<PCRE2_UCHAR8, 256> text{};
    static_cast<void>(pcre2_get_error_message_8(error, text.data(), text.size()));
    return reinterpret_cast<const char*>(text.data());
  }

  [[noreturn]] void fail(std::string_view name, const std::string& what) const {
    throw FormatError(where_ + (where_.empty() ? "" : ": ") + "expected " + what + " beside " +
                      detail::in_quotes(expression_) + ", got " + detail::in_quotes(name));
  }

  bool run(std::string_view name, std::uint32_t options) {
    if (is_for_ascii_) {
      for (const char c : name) {  // Python has white space among the separators of ASCII
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x80 || (0x1C <= byte && byte <= 0x1F)) fail(name, "a name in ASCII");
      }
    }
    left_ += steps_for_each_name;
    const double granted = std::min(left_, most_steps);
    Budget budget{granted, 1.0 + static_cast<double>(name.size()) / 64.0};
    pcre2_set_callout_8(match_context_.get(), spend, &budget);
    const int result = pcre2_match_8(code_.get(), reinterpret_cast<PCRE2_SPTR8>(name.data()),
                                     name.size(), 0, options, match_.get(), match_context_.get());
    left_ -= granted - budget.left;
    if (result >= 0) return true;
    if (result == PCRE2_ERROR_NOMATCH) return false;
    if (result == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
    if (PCRE2_ERROR_UTF8_ERR21 <= result && result <= PCRE2_ERROR_UTF8_ERR1) {
      fail(name, "a name in UTF-8");
    }
    throw FormatError(where_ + (where_.empty() ? "" : ": ") +
                      "expected an expression that takes fewer steps, got " +
                      detail::in_quotes(expression_) + " on " + detail::in_quotes(name));
  }

  std::string expression_;
  std::string where_;
  bool is_for_ascii_ = false;
  double left_ = spare_steps;
  Handle<pcre2_code_8> code_;
  Handle<pcre2_match_data_8> match_;
  Handle<pcre2_match_context_8> match_context_;
};

/// The pattern of an option; nothing where the option is empty, which is every name.
inline std::optional<Pattern> pattern_of(const std::string& expression, const std::string& where) {
  if (expression.empty()) return std::nullopt;
  return Pattern(expression, where);
}

}  // namespace lorma::inline LORMA_ABI

#endif
