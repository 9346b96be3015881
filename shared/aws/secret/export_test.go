package secret

import "time"

// SetPatience changes how long one fetch may take.
func (v *Vault) SetPatience(d time.Duration) { v.patience = d }
