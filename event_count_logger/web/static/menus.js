/** Menus that open and close: `<details class="menu">`. One is open at a time. */

/** Closes the menus in `root` on Escape, on a click elsewhere, and when another one opens. */
export function closeMenus(root) {
  const menus = [...root.querySelectorAll("details.menu")];
  const closeAll = (except) => menus.filter((menu) => menu !== except).forEach((menu) => (menu.open = false));
  document.addEventListener("pointerdown", ({ target }) => closeAll(target.closest("details.menu")));
  for (const menu of menus) {
    menu.addEventListener("toggle", () => menu.open && closeAll(menu));
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      event.stopPropagation(); // Escape has other effects elsewhere
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  }
}
