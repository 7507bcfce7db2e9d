## A picture of multidb/report/picture.py. Its list beside it says the same in words.
<%def name="svg(drawn, title)">\
<div class="picture" role="region" aria-label="${title}" tabindex="0">
<svg role="img" aria-label="${title}" width="${f'{drawn.width + 4:.0f}'}" height="${f'{drawn.height + 4:.0f}'}"
 viewBox="-2 -2 ${f'{drawn.width + 4:.0f}'} ${f'{drawn.height + 4:.0f}'}">
% for path, style in drawn.paths:
<path class="arrow ${style}" d="${path}"/>
% endfor
% for placed in drawn.boxes:
<g class="box ${placed.box.style}">
<rect x="${f'{placed.x:.1f}'}" y="${f'{placed.y:.1f}'}" width="${f'{placed.box.width:.1f}'}" height="${f'{placed.box.height:.1f}'}" rx="4"/>
<text class="title" x="${f'{placed.x + drawn.padding:.1f}'}" y="${f'{placed.y + drawn.line:.1f}'}">${placed.box.name}</text>
% for y, line in placed.rows:
<text class="${line.style}" x="${f'{placed.x + drawn.padding:.1f}'}" y="${f'{y:.1f}'}">${line.name}</text>
% if line.text:
<text class="text ${line.style}" x="${f'{placed.x + placed.box.width - drawn.padding:.1f}'}" y="${f'{y:.1f}'}">${line.text}</text>
% endif
% endfor
</g>
% endfor
</svg>
</div>
</%def>
