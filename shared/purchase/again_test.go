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

// A store's answer that is behind says that there is no refund after all, and nobody would say
// otherwise again.
func TestARefundThatIsNoneAfterAllIsAskedAboutOnceMore(t *testing.T) {
	s, f := newFollowedShop(t)
	paid := sold("gems", gems)
	f.offer("proof", purchase.News{Sales: []purchase.Sale{paid}})
	s.granted(ann, "proof")
	s.told(refunded(paid, time.Minute, 0))
	s.told(later(paid, 2*time.Minute))
	if got, want := s.line("gems").CheckAt, noon.Add(15*time.Minute); !got.Equal(want) || s.balance(ann) != 100 {
		t.Errorf("got %d gems and a look at %v, want 100 and %v", s.balance(ann), got, want)
	}
	for _, truth := range []purchase.Sale{refunded(paid, time.Hour, 0), refunded(paid, 2*time.Hour, 0)} {
		f.lines["gems"] = purchase.News{Sales: []purchase.Sale{truth}}
		s.at(s.clock.Now().Add(20 * time.Minute))
		if _, err := s.Review(t.Context(), s.scope, "apple", 10); err != nil {
			t.Fatal(err)
		}
		if got := s.line("gems").CheckAt; !got.IsZero() || s.balance(ann) != 0 {
			t.Errorf("after the look: got %d gems and another look at %v, want none of either", s.balance(ann), got)
		}
	}
}
