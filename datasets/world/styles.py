"""Kinds of streets: the ranges their properties are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """Ranges that a street's properties are drawn from; metres, shares in [0,1]."""

    half_width: Range
    sidewalk: Range
    setback: Range
    length: Range  # of a building's front
    height: Range
    gap: Range  # share of plots without a building
    houses: float  # share of buildings that are houses
    walls: Range  # share of plots with a garden wall or hedge
    parked: Range  # share of parking places that are taken
    trees: Range  # share of places with a tree
    view: Range  # metres that the car can see ahead when it stops
    traffic: Range  # other cars that move


STYLES = {
    "city": Style(
        half_width=(4, 7),
        sidewalk=(2, 4),
        setback=(0, 2),
        length=(7, 16),
        height=(7, 20),
        gap=(0, 0.15),
        houses=0.1,
        walls=(0, 0.1),
        parked=(0.2, 0.9),
        trees=(0, 0.3),
        view=(15, 90),
        traffic=(0, 3),
    ),
    "alley": Style(
        half_width=(2.3, 3.2),
        sidewalk=(0.5, 1.2),
        setback=(0, 0.6),
        length=(4, 10),
        height=(4, 12),
        gap=(0, 0.2),
        houses=0.3,
        walls=(0, 0.4),
        parked=(0, 0.1),
        trees=(0, 0.1),
        view=(8, 45),
        traffic=(0, 1),
    ),
    "suburb": Style(
        half_width=(3, 4.5),
        sidewalk=(1.4, 2.6),
        setback=(3, 11),
        length=(7, 13),
        height=(3, 6),
        gap=(0.1, 0.5),
        houses=0.9,
        walls=(0.2, 0.8),
        parked=(0.1, 0.6),
        trees=(0.2, 0.7),
        view=(20, 100),
        traffic=(0, 2),
    ),
    "boulevard": Style(
        half_width=(7, 10.5),
        sidewalk=(3, 6),
        setback=(1, 9),
        length=(9, 22),
        height=(9, 24),
        gap=(0.05, 0.4),
        houses=0.0,
        walls=(0, 0.2),
        parked=(0.1, 0.6),
        trees=(0.2, 0.6),
        view=(40, 120),
        traffic=(1, 4),
    ),
    "open": Style(
        half_width=(3.5, 5.5),
        sidewalk=(0.8, 1.5),
        setback=(12, 40),
        length=(8, 20),
        height=(3, 9),
        gap=(0.4, 0.9),
        houses=0.6,
        walls=(0, 0.35),
        parked=(0, 0.15),
        trees=(0.05, 0.5),
        view=(60, 130),
        traffic=(0, 3),
    ),
    "yard": Style(
        half_width=(5, 12),
        sidewalk=(1, 2),
        setback=(0, 5),
        length=(12, 25),
        height=(4, 9),
        gap=(0.2, 0.5),
        houses=0.0,
        walls=(0.2, 0.6),
        parked=(0.1, 0.7),
        trees=(0, 0.2),
        view=(6, 30),
        traffic=(0, 1),
    ),
}
