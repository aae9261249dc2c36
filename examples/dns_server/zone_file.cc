#include "examples/dns_server/zone_file.h"

#include <ldns/ldns.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "examples/dns_server/wire.h"
#include "runtime/base/errno_status.h"

namespace dns_server {
namespace {

struct FreeRr {
  void operator()(ldns_rr* rr) const { ldns_rr_free(rr); }
};
struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using RrPtr = std::unique_ptr<ldns_rr, FreeRr>;
using FilePtr = std::unique_ptr<std::FILE, CloseFile>;

// A name that ldns owns, and replaces as it reads on.
struct NameSlot {
  ldns_rdf* rdf = nullptr;
  ~NameSlot() { ldns_rdf_deep_free(rdf); }
};

absl::string_view View(const ldns_rdf* rdf) {
  return {reinterpret_cast<const char*>(ldns_rdf_data(rdf)), ldns_rdf_size(rdf)};
}

absl::Status Wrong(const std::string& path, int line, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat(path, ":", line, ": ", reason));
}

Record ToRecord(const ldns_rr& rr, int line) {
  Record record{.owner = std::string(View(ldns_rr_owner(&rr))),
                .type = static_cast<uint16_t>(ldns_rr_get_type(&rr)),
                .ttl = ldns_rr_ttl(&rr),
                .line = line};
  const bool compressible = ldns_rr_descript(record.type)->_compress == LDNS_RR_COMPRESS;
  for (size_t i = 0; i < ldns_rr_rd_count(&rr); ++i) {
    const ldns_rdf* rdf = ldns_rr_rdf(&rr, i);
    if (ldns_rdf_get_type(rdf) == LDNS_RDF_TYPE_DNAME) {
      record.names.push_back({record.rdata.size(), ldns_rdf_size(rdf), compressible});
    }
    absl::StrAppend(&record.rdata, View(rdf));
  }
  return record;
}

// Reads the records one by one, and keeps where each came from.
class Reader {
 public:
  explicit Reader(const std::string& path) { zone_.path = path; }

  absl::Status Read(const std::string& origin) {
    const FilePtr file(std::fopen(zone_.path.c_str(), "re"));
    if (file == nullptr) return weir::runtime::ErrnoStatus(errno, zone_.path);
    NameSlot from, previous;
    if (ldns_str2rdf_dname(&from.rdf, origin.empty() ? "." : origin.c_str()) != LDNS_STATUS_OK) {
      return absl::InvalidArgumentError(absl::StrCat("--origin=", origin, ": not a domain name"));
    }
    uint32_t ttl = LDNS_DEFAULT_TTL;
    int line = 0;
    while (!std::feof(file.get())) {
      ldns_rr* read = nullptr;
      const ldns_status status = ldns_rr_new_frm_fp_l(&read, file.get(), &ttl, &from.rdf, &previous.rdf, &line);
      const RrPtr rr(read);
      if (std::ferror(file.get()) != 0) return weir::runtime::ErrnoStatus(errno, zone_.path);
      switch (status) {
        case LDNS_STATUS_OK: {
          absl::Status added = Add(*rr, line);
          if (!added.ok()) return added;
          break;
        }
        case LDNS_STATUS_SYNTAX_EMPTY:
        case LDNS_STATUS_SYNTAX_TTL:
        case LDNS_STATUS_SYNTAX_ORIGIN:
          break;
        case LDNS_STATUS_SYNTAX_INCLUDE:
          return Wrong(zone_.path, line, "$INCLUDE is not supported");
        default:
          return Wrong(zone_.path, line, ldns_get_errorstr_by_id(status));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ZoneFile> Finish() && {
    if (zone_.apex.empty()) return absl::InvalidArgumentError(absl::StrCat(zone_.path, ": no SOA record"));
    bool apex_ns = false;
    for (const Record& record : zone_.records) {
      const std::string owner = Lower(record.owner);
      if (!IsAtOrBelow(owner, zone_.apex)) {
        return Wrong(zone_.path, record.line, absl::StrCat(NameText(owner), " is not in the zone"));
      }
      apex_ns = apex_ns || (record.type == kTypeNs && owner == zone_.apex);
    }
    if (!apex_ns) return absl::InvalidArgumentError(absl::StrCat(zone_.path, ": no NS record at the zone's own name"));
    return std::move(zone_);
  }

 private:
  absl::Status Add(const ldns_rr& rr, int line) {
    if (ldns_rr_get_class(&rr) != LDNS_RR_CLASS_IN) return Wrong(zone_.path, line, "only class IN is served");
    Record record = ToRecord(rr, line);
    if (record.type == kTypeSoa) {
      if (!zone_.apex.empty()) return Wrong(zone_.path, line, "a second SOA record");
      zone_.apex = Lower(record.owner);
    }
    // RFC 2181 §5: a record that is there twice is there once. Names in data are compared as RFC 4343 says.
    std::string data = record.rdata;
    for (const NameInRdata& name : record.names) {
      data.replace(name.offset, name.size, Lower(data.substr(name.offset, name.size)));
    }
    if (seen_.emplace(Lower(record.owner), record.type, std::move(data)).second) {
      zone_.records.push_back(std::move(record));
    }
    return absl::OkStatus();
  }

  ZoneFile zone_;
  std::set<std::tuple<std::string, uint16_t, std::string>> seen_;
};

}  // namespace

absl::StatusOr<ZoneFile> ReadZoneFile(const std::string& path, const std::string& origin) {
  Reader reader(path);
  absl::Status read = reader.Read(origin);
  if (!read.ok()) return read;
  return std::move(reader).Finish();
}

std::string NameText(absl::string_view name) {
  const std::unique_ptr<ldns_rdf, decltype(&ldns_rdf_deep_free)> rdf(
      ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, name.size(), name.data()), &ldns_rdf_deep_free);
  const std::unique_ptr<char, decltype(&std::free)> text(ldns_rdf2str(rdf.get()), &std::free);
  return text == nullptr ? "?" : text.get();
}

}  // namespace dns_server
