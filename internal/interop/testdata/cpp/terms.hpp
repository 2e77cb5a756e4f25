// The terms for permessage-deflate that a program is told, an object of JSON or a list of them.
#pragma once

#include <boost/property_tree/json_parser.hpp>
#include <optional>
#include <sstream>
#include <string>

using Terms = boost::property_tree::ptree;

inline Terms parseTerms(const std::string& json) {
  std::istringstream in(json);
  Terms terms;
  read_json(in, terms);
  return terms;
}

// termsOf is what a target has as ?deflate=JSON.
inline std::optional<Terms> termsOf(const std::string& target) {
  size_t at = target.find("deflate=");
  if (at == std::string::npos) return {};
  std::string json;
  for (size_t i = at + 8; i < target.size(); i++) {
    if (target[i] == '%') {
      json += static_cast<char>(std::stoi(target.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else if (target[i] != '+') {
      json += target[i];
    }
  }
  return parseTerms(json);
}
