package purchase_test

import (
	"testing"
	"time"

	"grantline/shared/purchase"
)

// Two devices ask at once, by clocks that are apart; the store gives the money back between.
// What was asked for first is heard last, and says that there is nothing more to ask.
func TestAWordThatIsNoNewsDoesNotEndTheAsking(t *testing.T) {
	s, f := newFollowedShop(t)
	paid := purchase.News{Sales: []purchase.Sale{later(sold("gems", gems), time.Second)}, Again: noon.Add(24 * time.Hour)}
	f.offer("proof", paid)
	s.granted(ann, "proof")
	old := purchase.News{Sales: []purchase.Sale{refunded(sold("gems", gems), 0, 0)}}
	if ok, err := s.tell(old); !ok || err != nil {
		t.Fatalf("the older word: got %t, %v, want it taken for heard", ok, err)
	}
	if got := s.line("gems").CheckAt; !got.Equal(paid.Again) {
		t.Errorf("looked at again at %v, want at %v as before", got, paid.Again)
	}

	// One that brings it nearer does.
	sooner := old
	sooner.Again = noon.Add(time.Hour)
	if ok, err := s.tell(sooner); !ok || err != nil {
		t.Fatalf("an older word with a time: got %t, %v, want it taken for heard", ok, err)
	}
	if got := s.line("gems").CheckAt; !got.Equal(sooner.Again) {
		t.Errorf("looked at again at %v, want at %v", got, sooner.Again)
	}

	// And a newer one that there is nothing more to ask ends it.
	s.told(refunded(paid.Sales[0], time.Minute, 0))
	if got := s.line("gems").CheckAt; !got.IsZero() {
		t.Errorf("looked at again at %v after its refund, want never", got)
	}
}
