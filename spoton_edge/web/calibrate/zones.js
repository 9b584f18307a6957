// Regions and handoff zones, corner by corner. A corner's handle is "new 2", "region 3" or "zone 1.4" (of the first zone).

/** What the picture needs to draw and change them; refresh: draws the page anew. */
export function zones(store, refresh) {
  return {
    mode: "points",
    polygon: [],

    corners() {
      const { camera } = store;
      const drawing = this.polygon.map((corner, index) => [`new ${index + 1}`, corner]);
      const known = this.mode === "region"
        ? camera.region.map((corner, index) => [`region ${index + 1}`, corner])
        : camera.handoff.flatMap((link, zone) =>
            Array.isArray(link.zone) ? link.zone.map((corner, index) => [`zone ${zone + 1}.${index + 1}`, corner]) : []);
      return [...known, ...drawing];
    },

    addCorner(corner) {
      if (this.mode === "handoff" && store.cameras.length < 2) return;
      this.polygon.push(corner);
      refresh();
    },

    /** A corner that was clicked: the first of a polygon closes it. */
    hitCorner(handle) {
      if (handle === "new 1") this.close();
    },

    close() {
      if (this.polygon.length < 3) return;
      const corners = this.polygon;
      this.polygon = [];
      if (this.mode === "region") {
        store.change("region", null, (camera) => (camera.region = corners));
      } else {
        const to = store.cameras.find((camera) => camera !== store.camera).name;
        store.change("handoff", null, (camera) => camera.handoff.push({ zone: corners, to, enter: null, travel_s: [0.5, 20] }));
      }
    },

    giveUp() {
      this.polygon = [];
      refresh();
    },

    where(handle) {
      const [kind, number] = handle.split(" ");
      if (kind === "new") return { part: null, list: () => this.polygon, index: number - 1 };
      if (kind === "region") return { part: "region", list: (camera) => camera.region, index: number - 1 };
      const [zone, corner] = number.split(".");
      return { part: "handoff", list: (camera) => camera.handoff[zone - 1].zone, index: corner - 1 };
    },

    moveCorner(handle, corner, kind) {
      const { part, list, index } = this.where(handle);
      if (part) {
        store.change(part, kind, (camera) => (list(camera)[index] = corner));
      } else {
        this.polygon[index] = corner;
        refresh();
      }
    },

    corner(handle) {
      const { list, index } = this.where(handle);
      return list(store.camera)[index];
    },

    removeCorner(handle) {
      const { part, list, index } = this.where(handle);
      if (part && list(store.camera).length < 4) return; // the last three make the shape
      if (part) store.change(part, null, (camera) => list(camera).splice(index, 1));
      else this.polygon.splice(index, 1);
      refresh();
    },
  };
}
