// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PATTERNS_PYTHON_SYNTAX_HPP
#define LORMA_PATTERNS_PYTHON_SYNTAX_HPP

/// A regular expression of Python's `re`, written so that PCRE2 reads the same.
///
///   PythonSyntax(R"(layers\.\d{,2}\Z)", "").text()    // layers\.\d{0,2}\z
///
/// What the two read alike is kept, what can be said in the other's words is translated, and the
/// rest is refused: nothing is read in a sense that Python does not give it. Sources: the page
/// "re" of Python's library reference, pcre2pattern(3).

#include <cstddef>
#include <string>
#include <string_view>

#include "lorma/core/error.hpp"
#include "lorma/io/message.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// One expression on its way from `re` to PCRE2.
class PythonSyntax {
 public:
  /// Throws FormatError "<where>: expected a regular expression of Python's ..., got ...".
  PythonSyntax(std::string_view expression, std::string_view where)
      : in_(expression), where_(where) {
    while (at_ < in_.size()) {
      if (in_class_) {
        class_item();
      } else {
        item();
      }
    }
  }

  const std::string& text() const { return out_; }
  /// Whether it asks what a letter, a digit or white space is, on which the two agree in ASCII.
  bool has_classes() const { return has_classes_; }

  [[noreturn]] static void refuse(std::string_view expression, std::string_view where,
                                  std::string_view why) {
    throw FormatError(std::string(where) + (where.empty() ? "" : ": ") +
                      "expected a regular expression of Python's, got " + in_quotes(expression) +
                      ": " + std::string(why));
  }

 private:
  [[noreturn]] void refuse(std::string_view why) const { refuse(in_, where_, why); }

  bool follows(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  char peek(std::size_t ahead) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  void keep(std::size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }
  static bool is_digit(char c) { return '0' <= c && c <= '9'; }
  static bool is_letter(char c) { return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z'); }

  void item() {
    switch (in_[at_]) {
      case '\\':
        return escape();
      case '(':
        return group();
      case '{':
        return repetition();
      case '[':
        in_class_ = true;
        keep(1);
        if (peek(0) == '^') keep(1);
        if (peek(0) == ']') keep(1);
        return;
      default:
        return keep(1);
    }
  }

  void class_item() {
    if (in_[at_] == '\\') return escape();
    if (follows("[:") || follows("[.") || follows("[=")) refuse("a class within a class");
    in_class_ = in_[at_] != ']';
    keep(1);
  }

  void escape() {
    const char c = peek(1);
    if (c == '\0') refuse("a backslash at its end");
    const auto is_one_of = [c](std::string_view all) { return all.find(c) != all.npos; };
    const auto is_hex = [](char h) {
      return is_digit(h) || ('a' <= h && h <= 'f') || ('A' <= h && h <= 'F');
    };
    if (is_one_of("dDwWsSb") || (!in_class_ && c == 'B')) {
      has_classes_ = has_classes_ || !(in_class_ && c == 'b');  // which is a backspace
      return keep(2);
    }
    if (is_one_of("nrtfa") || (!in_class_ && c == 'A')) return keep(2);
    if (c == 'x' && is_hex(peek(2)) && is_hex(peek(3))) return keep(4);
    if (!in_class_ && is_digit(c) && c != '0' && !is_digit(peek(2))) return keep(2);
    if (c == 'v' || (!in_class_ && c == 'Z')) {  // \v is all vertical space to PCRE2
      out_ += c == 'v' ? "\\x0b" : "\\z";
      at_ += 2;
      return;
    }
    if (is_letter(c) || is_digit(c)) {
      refuse("the escape \\" + std::string(1, c) + " is unknown, or read differently elsewhere");
    }
    keep(2);
  }

  void group() {
    if (follows("(*")) refuse("nothing to repeat");
    if (!follows("(?")) return keep(1);
    if (follows("(?#")) {
      const std::size_t end = in_.find(')', at_);
      if (end == in_.npos) refuse("a comment without an end");
      at_ = end + 1;
      return;
    }
    if (at_ == 0 && follows("(?i)")) {
      has_classes_ = true;
      return keep(4);
    }
    for (const std::string_view kind :
         {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?P<", "(?P=", "(?i:"}) {
      if (!follows(kind)) continue;
      has_classes_ = has_classes_ || kind == "(?i:";
      return keep(kind.size());
    }
    refuse("a group other than (?:...), (?=...), (?!...), (?<=...), (?<!...), (?P<name>...), " +
           std::string("(?i:...)"));
  }

  /// {m}, {m,}, {m,n}, {,n}, {,}; any other brace is one.
  void repetition() {
    std::size_t end = at_ + 1;
    const auto digits = [&] {
      const std::size_t first = end;
      while (end < in_.size() && is_digit(in_[end])) ++end;
      return end - first;
    };
    const std::size_t least = digits();
    const bool comma = end < in_.size() && in_[end] == ',';
    if (comma) {
      ++end;
      digits();
    }
    if (end >= in_.size() || in_[end] != '}' || (least == 0 && !comma)) {
      out_ += "\\{";
      ++at_;
      return;
    }
    keep(1);
    if (least == 0) out_ += '0';
    keep(end + 1 - at_);
  }

  std::string_view in_;
  std::string_view where_;
  std::size_t at_ = 0;
  std::string out_;
  bool in_class_ = false;
  bool has_classes_ = false;
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
