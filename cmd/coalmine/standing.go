package main

import (
	"io"

	"github.com/prometheus/client_golang/prometheus"

	"coalmine/analyze"
	"coalmine/report"
)

// standing is how a run stands, or ended, as reports, the live page and metrics show it.
type standing interface {
	draw(to io.Writer, format string) error
	page(to io.Writer) error // that goes on
	update() ([]byte, error) // of the page
	collect(to chan<- prometheus.Metric)
}

// judged is a run that is judged, or traffic.
type judged struct{ analyze.Analysis }

func (j judged) draw(to io.Writer, format string) error {
	show, _, err := report.Named(format)
	if err != nil {
		return err
	}
	return show(to, j.Analysis)
}

func (j judged) page(to io.Writer) error { return report.LivePage(to, j.Analysis) }
func (j judged) update() ([]byte, error) { return report.LiveUpdate(j.Analysis) }

// searched is a search for a capacity.
type searched struct{ analyze.Searching }

func (s searched) draw(to io.Writer, format string) error {
	show, err := report.NamedCapacity(format)
	if err != nil {
		return err
	}
	return show(to, s.Rated)
}

func (s searched) page(to io.Writer) error { return report.LiveCapacityPage(to, s.Searching) }
func (s searched) update() ([]byte, error) { return report.LiveCapacityUpdate(s.Searching) }
