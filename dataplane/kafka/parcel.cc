#include "dataplane/kafka/parcel.h"

namespace penstock::dataplane {

void FreeParcel::operator()(Parcel* parcel) const { delete parcel; }

}  // namespace penstock::dataplane
