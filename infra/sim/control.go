package sim

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"grantline/infra/sim/stage"
)

// listed is a control as GET /_sim/ shows it.
type listed struct {
	Event   string `json:"event"` // for the command: <provider>.<event>
	Path    string `json:"path"`
	Does    string `json:"does"`
	Example any    `json:"example"`
}

// handler serves the providers below /<provider>/ and their controls below
// /_sim/<provider>/. The two never meet on one path, so that nothing the product could
// call by mistake is a control.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	unkind := stage.On("unkind", "Sets the percentage of calls, at all providers, that go wrong of themselves.",
		stage.Percent{}, func(p stage.Percent) (any, error) {
			for _, provider := range s.providers() {
				if err := provider.SetUnkind(p.Percent); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
	controls := []listed{{"unkind", "/_sim/unkind", unkind.Does, unkind.Example}}
	mux.Handle("POST /_sim/unkind", unkind)
	for name, provider := range s.providers() {
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name, provider))
		mux.Handle("/_sim/"+name+"/", http.StripPrefix("/_sim/"+name, provider.Control()))
		for _, c := range provider.Controls() {
			controls = append(controls, listed{name + "." + c.Event, "/_sim/" + name + "/" + c.Event, c.Does, c.Example})
		}
	}
	s.receivers.serve(mux)
	slices.SortFunc(controls, func(a, b listed) int { return strings.Compare(a.Event, b.Event) })
	mux.HandleFunc("GET /_sim/{$}", func(w http.ResponseWriter, r *http.Request) {
		stage.Write(w, stage.JSON(http.StatusOK, map[string]any{
			"controls":  controls,
			"effects":   []string{"/_sim/apple/effects", "/_sim/appsintoss/effects", "/_sim/dodo/effects", "/_sim/play/effects", "/_sim/toss/effects"},
			"receivers": []string{"/_sim/receiver/<name>"},
			"webhooks":  []string{"/_sim/apple/webhooks", "/_sim/appsintoss/webhooks", "/_sim/dodo/webhooks", "/_sim/play/webhooks", "/_sim/toss/webhooks"},
		}))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		stage.Refuse(w, http.StatusNotFound, errors.New("nothing is simulated here; GET /_sim/ lists the controls"))
	})
	return mux
}
