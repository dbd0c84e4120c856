// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_TEXT_HPP
#define LORMA_EXAMPLES_DEMO_TEXT_HPP

/// How numbers are written.

#include <cstdio>
#include <string>

namespace demo {

inline std::string formatted(const char* format, int digits, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, digits, value);
  return text;
}

/// As short as it reads the same to six digits: 0.003.
inline std::string number(double value) {
  return formatted("%.*g", 6, value);
}

/// So many digits after the point.
inline std::string fixed(double value, int digits) {
  return formatted("%.*f", digits, value);
}

/// So many digits that count: 2.19, 0.00850.
inline std::string significant(double value, int digits = 3) {
  std::string text = formatted("%#.*g", digits, value);
  if (text.back() == '.') text.pop_back();
  return text;
}

/// 3.1e-07
inline std::string scientific(double value) {
  return formatted("%.*e", 1, value);
}

}  // namespace demo

#endif
