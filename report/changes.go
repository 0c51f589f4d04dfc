package report

import (
	"time"

	"coalmine/analyze"
)

// change is something that was done to what serves production, and how it went.
type change struct {
	at   time.Duration
	what string
}

// changes are what the run did to the stage, in order.
func changes(a analyze.Analysis) (all []change) {
	for _, e := range a.Events {
		var what string
		switch e.Name {
		case analyze.CanaryCreated:
			what = "canary created"
			if percent := e.Detail["percent"]; percent != "" {
				what += " at " + percent + " %"
			}
		case analyze.CanaryDeployed:
			what = "deployed to it"
			if id := e.Detail["deployment"]; id != "" {
				what += ", deployment " + id
			}
		case analyze.PercentSet:
			what = "canary set to " + e.Detail["percent"] + " %"
		case analyze.PromoteEnd:
			what = "promoted"
		case analyze.RepointEnd:
			what = "alias moved to the tested version"
		case analyze.RollbackEnd:
			what = "rolled back"
		default:
			continue
		}
		if why := e.Detail["error"]; why != "" {
			what += ": refused: " + why
		}
		all = append(all, change{e.At, what})
	}
	return all
}
